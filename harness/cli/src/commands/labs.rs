//! `plumb labs`: which labs are up.

use plumb_engine::labs::list::{self, Listed};
use serde_json::{Value, json};

use crate::args::Labs;
use crate::exit::Exit;
use crate::output;

pub(crate) fn labs(labs: &Labs) -> anyhow::Result<Exit> {
    let all = list::list()?;
    if labs.json {
        output::say(&format!("{:#}", Value::Array(all.iter().map(whole).collect())));
    } else if all.is_empty() {
        output::say("no lab is up");
    } else {
        output::say(&table(&all));
    }
    Ok(Exit::Pass)
}

fn whole(lab: &Listed) -> Value {
    json!({
        "name": lab.name,
        "provider": lab.provider,
        "state": lab.state,
        "madeBy": lab.made_by,
        "process": lab.process,
        "ageS": lab.age_s,
        "expiresS": lab.expires_s,
        "run": lab.run,
    })
}

fn table(all: &[Listed]) -> String {
    let mut rows = vec![["NAME", "PROVIDER", "STATE", "AGE", "EXPIRES", "MADE BY"].map(str::to_owned)];
    rows.extend(all.iter().map(|lab| {
        [
            lab.name.clone(),
            lab.provider.clone(),
            lab.state.clone(),
            lab.age_s.map_or_else(|| "-".to_owned(), span),
            lab.expires_s.map_or_else(|| "-".to_owned(), |left| if left > 0 { format!("in {}", span(left)) } else { "now".to_owned() }),
            format!("{} (process {})", lab.made_by, lab.process),
        ]
    }));
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..5).map(width).collect();
    let line = |row: &[String; 6]| {
        let cells: Vec<String> = widths.iter().zip(row).map(|(width, cell)| format!("{cell:width$}")).collect();
        format!("{}  {}", cells.join("  "), row[5])
    };
    rows.iter().map(line).collect::<Vec<_>>().join("\n")
}

/// Seconds as one would say them.
fn span(seconds: i64) -> String {
    match seconds.max(0) {
        s if s < 60 => format!("{s} s"),
        s if s < 3600 => format!("{} min", s / 60),
        s => format!("{} h {} min", s / 3600, s % 3600 / 60),
    }
}
