//! Brace expansion: `a{b,c}d` becomes `abd acd`, `{1..3}` becomes `1 2 3`.

/// A character of a word, and whether it is bare: neither quoted nor part of a substitution.
pub(super) type Piece = (char, bool);

/// Most words one word may become; a longer list stays as it is written.
const WORDS_MAX: usize = 256;

/// Every word that comes of one, in order.
pub(super) fn expand(word: &[Piece]) -> Vec<Vec<Piece>> {
    let mut words = vec![word.to_vec()];
    // The leftmost brace is expanded until no word has one, as bash does.
    let mut at = 0;
    while at < words.len() {
        match once(&words[at]) {
            Some(several) if words.len() + several.len() <= WORDS_MAX => drop(words.splice(at..=at, several)),
            Some(_) => return vec![word.to_vec()],
            None => at += 1,
        }
    }
    words
}

/// The words that come of the first braces that have a comma or a sequence.
fn once(word: &[Piece]) -> Option<Vec<Vec<Piece>>> {
    (0..word.len()).filter(|at| word[*at] == ('{', true)).find_map(|open| {
        let (commas, close) = inside(word, open)?;
        let (before, after) = (&word[..open], &word[close + 1..]);
        let items: Vec<Vec<Piece>> = if commas.is_empty() {
            sequence(&word[open + 1..close])?
        } else {
            let ends = commas.iter().copied().chain([close]);
            let starts = std::iter::once(open + 1).chain(commas.iter().map(|comma| comma + 1));
            starts.zip(ends).map(|(start, end)| word[start..end].to_vec()).collect()
        };
        Some(items.into_iter().map(|item| [before, &item, after].concat()).collect())
    })
}

/// The commas of the braces that open at `open`, and where they close.
fn inside(word: &[Piece], open: usize) -> Option<(Vec<usize>, usize)> {
    let (mut depth, mut commas) = (0usize, Vec::new());
    for (at, piece) in word.iter().enumerate().skip(open) {
        match piece {
            ('{', true) => depth += 1,
            ('}', true) if depth == 1 => return Some((commas, at)),
            ('}', true) => depth -= 1,
            (',', true) if depth == 1 => commas.push(at),
            _ => {}
        }
    }
    None
}

/// `1..3`, `c..a`, `1..9..2`.
fn sequence(inner: &[Piece]) -> Option<Vec<Vec<Piece>>> {
    if inner.iter().any(|(_, bare)| !bare) {
        return None;
    }
    let text: String = inner.iter().map(|(c, _)| *c).collect();
    let parts: Vec<&str> = text.split("..").collect();
    let (from, to, step) = match parts.as_slice() {
        [from, to] => (*from, *to, 1),
        [from, to, step] => (*from, *to, step.parse::<i64>().ok()?.unsigned_abs().max(1) as usize),
        _ => return None,
    };
    let letter = |text: &str| text.chars().next().filter(|c| text.len() == 1 && c.is_ascii_alphabetic()).map(|c| i64::from(u32::from(c)));
    let (from, to, letters) = match (from.parse::<i64>(), to.parse::<i64>()) {
        (Ok(low), Ok(high)) if !padded(from) && !padded(to) => (low, high, false),
        _ => (letter(from)?, letter(to)?, true),
    };
    let (low, high) = (from.min(to), from.max(to));
    if high.checked_sub(low)? as usize / step >= WORDS_MAX {
        return None;
    }
    let count = (high - low) as usize / step;
    let towards = if from <= to { 1 } else { -1 };
    let values = (0..=count).map(|n| from + towards * (n * step) as i64);
    let text = |value: i64| match u8::try_from(value) {
        Ok(letter) if letters => char::from(letter).to_string(),
        _ => value.to_string(),
    };
    Some(values.map(|value| text(value).chars().map(|c| (c, true)).collect()).collect())
}

/// Leading zeros ask for columns, which no document needs.
fn padded(text: &str) -> bool {
    text.trim_start_matches('-').len() > 1 && text.trim_start_matches('-').starts_with('0')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(word: &str, expected: &str) {
        let pieces: Vec<Piece> = word.chars().map(|c| (c, true)).collect();
        let words: Vec<String> = expand(&pieces).iter().map(|word| word.iter().map(|(c, _)| *c).collect()).collect();
        assert_eq!(words.join(" "), expected, "{word}");
    }

    #[test]
    fn braces_with_commas_and_sequences_become_words() {
        check("devices={eth0,net0}", "devices=eth0 devices=net0");
        check("x.tar.gz{,.sha256sum}", "x.tar.gz x.tar.gz.sha256sum");
        check("a{b,c{d,e}}f", "abf acdf acef");
        check("{1..3}{a,b}", "1a 1b 2a 2b 3a 3b");
        check("{c..a}", "c b a");
        check("{1..9..4}", "1 5 9");
    }

    #[test]
    fn braces_without_a_comma_stay() {
        check("{eth0}", "{eth0}");
        check("a{b", "a{b");
        check("{}", "{}");
        check("a}b{c,d}", "a}bc a}bd");
        check("{a{b,c}", "{ab {ac");
        check("{1..100000}", "{1..100000}");
    }
}
