//! Where a Markdown file (CommonMark) has commands and objects: fenced blocks, and paragraphs that are commands.

use pulldown_cmark::{CodeBlockKind, Event, Options, Parser, Tag, TagEnd};

/// A piece of a document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Block {
    pub(super) kind: Kind,
    /// Its text, without the indentation of lists and without prompts.
    pub(super) text: String,
    /// The document's number of each line of the text.
    pub(super) lines: Vec<usize>,
}

/// What a block is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Commands to paste.
    Shell,
    /// A session, of which only the lines after a prompt are commands.
    Session,
    /// Objects.
    Yaml,
    /// Commands in a paragraph, outside of any block.
    Paragraph,
}

impl Block {
    /// Line it begins in.
    pub(super) fn line(&self) -> usize {
        self.lines.first().copied().unwrap_or(1)
    }
}

/// The blocks in order.
pub(super) fn blocks(text: &str) -> Vec<Block> {
    let starts: Vec<usize> = std::iter::once(0).chain(text.match_indices('\n').map(|(at, _)| at + 1)).collect();
    let line_of = |offset: usize| starts.partition_point(|start| *start <= offset);
    let mut blocks = Vec::new();
    let mut open: Option<(String, Block)> = None;
    for (event, range) in Parser::new_ext(text, Options::empty()).into_offset_iter() {
        match event {
            Event::Start(Tag::CodeBlock(kind)) => {
                let language = match &kind {
                    CodeBlockKind::Fenced(info) => {
                        info.split([' ', ',', '{']).find(|word| !word.is_empty()).unwrap_or_default().to_lowercase()
                    }
                    CodeBlockKind::Indented => String::new(),
                };
                open = Some((language, Block { kind: Kind::Shell, text: String::new(), lines: Vec::new() }));
            }
            Event::Text(piece) => {
                if let Some((_, block)) = &mut open {
                    for (n, row) in piece.split_inclusive('\n').enumerate() {
                        if block.text.is_empty() || block.text.ends_with('\n') {
                            block.lines.push(line_of(range.start) + n);
                        }
                        block.text.push_str(row);
                    }
                }
            }
            Event::End(TagEnd::CodeBlock) => blocks.extend(open.take().and_then(|(language, block)| told(&language, block))),
            Event::Start(Tag::Paragraph) => blocks.extend(paragraph(&text[range.clone()], line_of(range.start))),
            _ => {}
        }
    }
    blocks
}

/// The block with its kind, if it is one to look at.
fn told(language: &str, block: Block) -> Option<Block> {
    let kind = match language {
        "bash" | "sh" | "shell" | "zsh" | "ksh" | "dash" => Kind::Shell,
        "console" | "shell-session" | "sh-session" | "shellsession" | "terminal" => Kind::Session,
        "yaml" | "yml" => Kind::Yaml,
        "" if block.text.lines().any(|line| line.trim_start().starts_with("$ ")) => Kind::Session,
        "" if block.text.lines().find(|line| !line.trim().is_empty() && !line.trim_start().starts_with('#')).is_some_and(is_command) => {
            Kind::Shell
        }
        _ => return None,
    };
    Some(if kind == Kind::Session { session(&block) } else { Block { kind, ..block } })
}

/// The lines after a prompt, and those they continue in.
fn session(block: &Block) -> Block {
    let mut kept = Block { kind: Kind::Session, text: String::new(), lines: Vec::new() };
    let mut continues = false;
    for (row, line) in block.text.lines().zip(&block.lines) {
        let command = match row.trim_start().strip_prefix("$ ") {
            Some(command) => Some(command),
            None if continues => Some(row.strip_prefix("> ").unwrap_or(row)),
            None => None,
        };
        continues = command.is_some_and(|command| command.ends_with('\\'));
        if let Some(command) = command {
            kept.text.push_str(command);
            kept.text.push('\n');
            kept.lines.push(*line);
        }
    }
    kept
}

/// A paragraph of which every line is a command.
fn paragraph(text: &str, first: usize) -> Option<Block> {
    let rows: Vec<&str> = text.lines().map(|row| row.trim_start_matches(['>', ' ', '\t'])).collect();
    if rows.is_empty() || !rows.iter().all(|row| is_command(row)) {
        return None;
    }
    Some(Block { kind: Kind::Paragraph, text: rows.join("\n") + "\n", lines: (first..first + rows.len()).collect() })
}

/// Whether a line can be nothing but a command: one of the programs documents about clusters use, and a word it takes.
fn is_command(row: &str) -> bool {
    const KUBECTL: &str =
        "get apply create delete describe logs exec rollout patch label annotate wait edit scale run expose port-forward cp";
    const TAKES: [(&str, &str); 14] = [
        ("cilium", "install upgrade uninstall status config connectivity hubble sysdump version encryption encrypt bgp clustermesh"),
        ("kubectl", KUBECTL),
        ("helm", "install upgrade uninstall repo template pull list rollback"),
        ("kind", "create delete get load export build"),
        ("docker", "network run exec ps pull push build load save rm stop start pause unpause kill logs inspect"),
        ("systemctl", "start stop restart enable disable status"),
        ("apt", "install update upgrade remove"),
        ("apt-get", "install update upgrade remove"),
        ("iptables", ""),
        ("ip6tables", ""),
        ("curl", "http://* https://*"),
        ("wget", "http://* https://*"),
        ("tar", ""),
        ("ip", "addr link route neigh rule netns"),
    ];
    let mut words = row.split_whitespace().skip_while(|word| *word == "sudo" || *word == "-E");
    let (Some(program), second) = (words.next(), words.next().unwrap_or_default()) else { return false };
    let Some((_, takes)) = TAKES.iter().find(|(name, _)| *name == program) else { return false };
    let fits = |word: &str| word.strip_suffix('*').map_or(word == second, |prefix| second.starts_with(prefix));
    second.starts_with('-') || takes.split(' ').any(|word| !word.is_empty() && fits(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(text: &str) -> Vec<(Kind, String, Vec<usize>)> {
        blocks(text).into_iter().map(|block| (block.kind, block.text, block.lines)).collect()
    }

    #[test]
    fn blocks_know_their_lines_also_within_lists() {
        let text = "# Title\n\n1. First\n\n   ```bash\n   one \\\n       --a\n\n   two\n   ```\n\n- Second\n\n  - third\n\n    ```sh\n    three\n    ```\n";
        assert_eq!(
            seen(text),
            [(Kind::Shell, "one \\\n    --a\n\ntwo\n".to_owned(), vec![6, 7, 8, 9]), (Kind::Shell, "three\n".to_owned(), vec![17]),]
        );
    }

    #[test]
    fn languages_decide_what_a_block_is() {
        let fence = |language: &str, text: &str| format!("```{language}\n{text}\n```\n");
        for (language, text, kind) in [
            ("bash", "x", Some(Kind::Shell)),
            ("Shell title=\"a\"", "x", Some(Kind::Shell)),
            ("yaml", "a: b", Some(Kind::Yaml)),
            ("console", "$ x", Some(Kind::Session)),
            ("", "$ cilium status", Some(Kind::Session)),
            ("", "# a comment\nkubectl get pods", Some(Kind::Shell)),
            ("", "some output", None),
            ("go", "kubectl get pods", None),
        ] {
            assert_eq!(blocks(&fence(language, text)).first().map(|block| block.kind), kind, "{language}: {text}");
        }
    }

    #[test]
    fn a_session_has_commands_after_its_prompts() {
        let text = "```console\n$ cilium install \\\n>   --a\noutput\n$ two\n# output\n```\n";
        assert_eq!(seen(text), [(Kind::Session, "cilium install \\\n  --a\ntwo\n".to_owned(), vec![2, 3, 5])]);
    }

    #[test]
    fn a_paragraph_of_commands_is_found_and_prose_is_not() {
        let text = "# check for docker\n\nsudo iptables -t nat -L\nsudo systemctl stop docker\n\nkubectl is a program.\n\nCilium installs itself.\n\ncilium install it\n";
        let text = &text[..text.len() - "cilium install it\n".len()];
        assert_eq!(seen(text), [(Kind::Paragraph, "sudo iptables -t nat -L\nsudo systemctl stop docker\n".to_owned(), vec![3, 4])]);
    }

    #[test]
    fn line_ends_of_windows_change_nothing() {
        assert_eq!(seen("```bash\r\none \\\r\n  two\r\n```\r\n"), [(Kind::Shell, "one \\\n  two\n".to_owned(), vec![2, 3])]);
    }
}
