//! From a document's blocks to what they install and what is wrong with them.

use super::commands::{Commands, shown};
use super::definitions::Definitions;
use super::install::{self, Install, Tool};
use super::markdown::{self, Block, Kind};
use super::meant::{self, Meant};
use super::objects::Objects;
use super::{Difference, Document, FORMAT, Installation, Ran, compare, shell};
use crate::profile::{Action, Before, Finding, FlagSet, Place, Profile, Severity, Topology, known, lint_flags};
use crate::scenario::model::Lab;
use crate::values::Values;
use crate::version::Version;

/// See [`super::read`].
pub(super) fn read(file: &str, text: &str, profiles: &[Profile], cli: Option<Version>) -> Document {
    let mut reader = Reader { file, profiles, cli, ..Reader::default() };
    let mut objects = Objects::default();
    for block in &markdown::blocks(text) {
        match block.kind {
            Kind::Yaml => reader.found.extend(objects.take(file, block.line(), &block.text)),
            _ => {
                for (line, text) in reader.block(block) {
                    // A here-document may be anything; only objects are of interest.
                    _ = objects.take(file, line, &text);
                }
            }
        }
    }
    reader.finish(&objects)
}

/// What is known of a document so far.
#[derive(Default)]
struct Reader<'a> {
    file: &'a str,
    profiles: &'a [Profile],
    cli: Option<Version>,
    found: Vec<Finding>,
    ran: Vec<Ran>,
    installs: Vec<(Meant, Install)>,
    definitions: Definitions,
    /// Lines of commands outside of any block, and of downloads of whatever is newest.
    loose: Vec<usize>,
    newest: Vec<usize>,
}

impl Reader<'_> {
    /// Reads a block of commands and gives its here-documents back.
    fn block(&mut self, block: &Block) -> Vec<(usize, String)> {
        let script = shell::script(&block.text, &block.lines);
        let meant = meant::meant(&script);
        self.found.extend(Commands { file: self.file, script: &script, meant: &meant }.findings());
        for command in &script.commands {
            let argv = command.argv();
            let not_found = argv.first().is_some_and(|name| name.starts_with('-') || name == "$");
            self.ran.push(Ran { line: command.line, argv, not_found });
        }
        if block.kind == Kind::Paragraph {
            self.loose.extend(&block.lines);
        }
        let newest = |text: &str| ["stable.txt", "/releases/latest"].iter().any(|what| text.contains(what));
        self.newest.extend(script.assignments.iter().filter(|(_, text)| newest(text)).map(|(line, _)| *line));
        for meant in meant {
            self.newest.extend(newest(&shown(&meant.command)).then_some(meant.command.line));
            let Some(program) = install::program(&meant.command) else { continue };
            self.definitions.take(meant.command.line, &program);
            self.installs.extend(install::install(&program).map(|install| (meant, install)));
        }
        script.documents.into_iter().map(|document| (document.line, document.text)).collect()
    }

    fn note(&mut self, line: usize, rule: &'static str, severity: Severity, words: [String; 2], source: &str) {
        let [happens, cure] = words;
        let place = Place::Line { file: self.file.to_owned(), line };
        self.found.push(Finding { rule, severity, place, happens, cure, source: source.to_owned() });
    }

    /// Downloads of whatever is newest on that day.
    fn unpinned(&mut self, versions: &[Version]) {
        let Some(made) = known().cli.made.last() else { return };
        let not_made: Vec<String> = versions.iter().filter(|version| !made.cilium.holds(**version)).map(ToString::to_string).collect();
        let also = match not_made.is_empty() {
            true => String::new(),
            false => format!("; by its own words the newest CLI known here is not made for Cilium {}", not_made.join(", ")),
        };
        for line in std::mem::take(&mut self.newest) {
            let happens = format!("what is newest is another release every few weeks, and the document was tried with one of them{also}");
            let words = [happens, "name the release".to_owned()];
            self.note(line, "unpinned-download", Severity::Warning, words, &made.source);
        }
    }

    /// Commands outside of any block.
    fn loose(&mut self) {
        let Some(first) = self.loose.first().copied() else { return };
        let lines: Vec<String> = self.loose.iter().map(ToString::to_string).collect();
        let words = [
            format!(
                "commands stand outside of any block, in {}: a viewer joins the lines of a paragraph into one, shows lines that begin with # as \
                 headings, and may change quotes and dashes",
                lines.join(", ")
            ),
            "put them between ```bash and ```".to_owned(),
        ];
        self.note(first, "commands-outside-block", Severity::Warning, words, "CommonMark 0.31, Paragraphs, Soft line breaks");
    }

    fn finish(mut self, objects: &Objects) -> Document {
        let installs = std::mem::take(&mut self.installs);
        let mut installations = Vec::new();
        for (meant, install) in &installs {
            self.of_install(meant, install);
            installations.push(self.installation(meant, install));
        }
        self.lint(&installs, objects);
        let version = |install: &Install| Version::parse(install.version.as_deref()?).ok();
        self.unpinned(&installs.iter().filter_map(|(_, install)| version(install)).collect::<Vec<_>>());
        self.loose();
        let line = |finding: &Finding| match &finding.place {
            Place::Line { line, .. } => *line,
            Place::Values { flags: place, .. } | Place::Object { file: place, .. } => {
                place.rsplit(':').next().and_then(|line| line.parse().ok()).unwrap_or_default()
            }
        };
        self.found.sort_by_key(|finding| (std::cmp::Reverse(finding.severity), line(finding), finding.rule));
        // Several commands of one line break one rule together.
        self.found.dedup_by(|next, kept| {
            let same = next.rule == kept.rule && next.place == kept.place && next.cure == kept.cure;
            if same && !kept.happens.contains(&next.happens) {
                kept.happens = format!("{}; {}", kept.happens, next.happens);
            }
            same
        });
        Document { format: FORMAT, file: self.file.to_owned(), commands: self.ran, installations, findings: self.found }
    }

    /// What is wrong with an installation as a command.
    fn of_install(&mut self, meant: &Meant, install: &Install) {
        let line = meant.command.line;
        if install.version.is_none() {
            let words = [
                "it installs whatever version the CLI or the chart repository has by default on that day".to_owned(),
                "add --version".to_owned(),
            ];
            self.note(line, "version-not-pinned", Severity::Warning, words, "cli v0.19.7: defaults/defaults.go; Helm manual, helm install");
        }
        if install.tool == Tool::Helm && install.action == Action::Upgrade && install.before == Before::Unsaid && !install.values.is_empty()
        {
            let words = [
                "helm upgrade with --set forgets every value that is not given again".to_owned(),
                "add --reset-then-reuse-values, or give every value again".to_owned(),
            ];
            self.note(line, "helm-upgrade-forgets-values", Severity::Error, words, "Helm manual, helm upgrade");
        }
        let gateway = install.values.get("gatewayAPI.enabled") == Some(&serde_json::Value::Bool(true));
        if let Some(applied) = self.definitions.line.filter(|applied| gateway && *applied > line) {
            let words = [
                format!(
                    "the Gateway API's definitions are applied after it, in line {applied}: the chart renders no GatewayClass, and the operator looks for them once"
                ),
                "apply them first".to_owned(),
            ];
            let source = "chart 1.17.1: templates/cilium-gateway-api-class.yaml; cilium 1.17.1: operator/pkg/gateway-api/cell.go:127";
            self.note(line, "definitions-after-install", Severity::Error, words, source);
        }
    }

    /// The installation as data, with what a shell passes and how it differs from its profile.
    fn installation(&mut self, meant: &Meant, install: &Install) -> Installation {
        let line = meant.command.line;
        let first = meant.pieces.first().and_then(install::program).and_then(|program| install::install(&program));
        let passes = first.map(|install| install.values).unwrap_or_default();
        let lost: Vec<&str> = install.values.keys().filter(|key| !passes.contains_key(*key)).map(String::as_str).collect();
        if !lost.is_empty() {
            let ran = meant.pieces.first().map(shown).unwrap_or_default();
            let words = [
                format!(
                    "pasted, {} of its {} values are passed: the shell runs `{ran}`, and {} are lost",
                    passes.len(),
                    install.values.len(),
                    lost.join(", ")
                ),
                "see command-cut".to_owned(),
            ];
            self.note(line, "values-not-passed", Severity::Error, words, "bash manual, Escape Character, Comments");
        }
        let profile = compare::profile_of(install, self.profiles);
        let differs = profile.map(|profile| compare::differences(install, profile)).unwrap_or_default();
        if let Some(profile) = profile.filter(|_| !differs.is_empty()) {
            let keys = differs.iter().map(|difference| difference.key.clone()).collect();
            let say = |value: &Option<serde_json::Value>| value.as_ref().map_or_else(|| "nothing".to_owned(), ToString::to_string);
            let told = |difference: &Difference| {
                format!("{} is {} here and {} there", difference.key, say(&difference.document), say(&difference.profile))
            };
            self.found.push(Finding {
                rule: "differs-from-profile",
                severity: Severity::Warning,
                place: Place::Values { flags: format!("{}:{line}", self.file), keys },
                happens: format!(
                    "what is proved with profile {} is not what is written here: {}",
                    profile.name,
                    differs.iter().map(told).collect::<Vec<_>>().join("; ")
                ),
                cure: "change the one that is wrong".to_owned(),
                source: format!("scenarios/profiles/{}.yaml", profile.name),
            });
        }
        if let Some(version) = install.version.as_deref().filter(|_| profile.is_none()) {
            let words =
                [format!("no profile installs Cilium {version} in this way: nothing here proves what it does"), "add a profile".to_owned()];
            self.note(line, "no-profile", Severity::Note, words, "scenarios/profiles");
        }
        Installation {
            line,
            command: shown(&meant.command),
            version: install.version.clone(),
            means: install.values.clone(),
            passes,
            profile: profile.map(|profile| profile.name.clone()),
            differs,
        }
    }

    /// The flag lint over each installation, with the document's own objects.
    fn lint(&mut self, installs: &[(Meant, Install)], objects: &Objects) {
        for (meant, install) in installs {
            let flags = FlagSet {
                name: format!("{}:{}", self.file, meant.command.line),
                cilium: install.version.as_deref().and_then(|version| Version::parse(version).ok()),
                action: install.action,
                words: install.words.clone(),
                values: install.values.clone(),
                before: if install.tool == Tool::Helm { Before::Reset } else { install.before },
                gateway_api: self.definitions.api.clone(),
            };
            let topology = Topology {
                lab: lab(&install.values),
                objects: &objects.for_values(&install.values, installs.iter().map(|(_, install)| &install.values)),
                cli: self.cli,
            };
            for finding in lint_flags(&flags, &topology) {
                // What is wrong with an object is wrong with it for every installation.
                if !self.found.contains(&finding) {
                    self.found.push(finding);
                }
            }
        }
    }
}

/// The lab a document seems to have: its networks are the devices it names.
fn lab(values: &Values) -> Lab {
    let mut lab = Lab::default();
    if let Some(serde_json::Value::Array(devices)) = values.get("devices") {
        lab.networks = devices.iter().filter_map(|device| device.as_str().map(str::to_owned)).collect();
    }
    lab
}
