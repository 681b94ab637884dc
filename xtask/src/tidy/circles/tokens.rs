//! Just enough of Rust's grammar to find paths: words, `::`, braces and a few marks.

/// A piece of source text that matters to a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Token<'a> {
    Word(&'a str),
    /// `::`
    Colons,
    /// Any other character that is no space.
    Mark(char),
}

/// Splits source text; comments and contents of literals are left out.
pub(crate) fn tokens(text: &str) -> Vec<Token<'_>> {
    let mut tokens = Vec::new();
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let length = if rest.starts_with("//") {
            rest.find('\n').unwrap_or(rest.len())
        } else if rest.starts_with("/*") {
            block_comment_length(rest)
        } else if let Some(length) = raw_string_length(rest) {
            tokens.push(Token::Mark('"'));
            length
        } else if c == '"' {
            tokens.push(Token::Mark('"'));
            quoted_length(rest, '"')
        } else if c == '\'' {
            tokens.push(Token::Mark('\''));
            character_length(rest)
        } else if is_word(c) {
            let length = rest.find(|c| !is_word(c)).unwrap_or(rest.len());
            tokens.push(Token::Word(&rest[..length]));
            length
        } else if rest.starts_with("::") {
            tokens.push(Token::Colons);
            2
        } else {
            if !c.is_whitespace() {
                tokens.push(Token::Mark(c));
            }
            c.len_utf8()
        };
        rest = &rest[length..];
    }
    tokens
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// Block comments nest.
fn block_comment_length(text: &str) -> usize {
    let (mut depth, mut at) = (0_usize, 0);
    while at < text.len() {
        let rest = &text[at..];
        let step = if rest.starts_with("/*") {
            depth += 1;
            2
        } else if rest.starts_with("*/") {
            depth -= 1;
            2
        } else {
            rest.chars().next().map_or(1, char::len_utf8)
        };
        at += step;
        if depth == 0 {
            break;
        }
    }
    at
}

/// The length of `r"..."`, `r#"..."#` or `br"..."`, if the text starts with one.
fn raw_string_length(text: &str) -> Option<usize> {
    let start = text.strip_prefix("br").or_else(|| text.strip_prefix('r'))?;
    let n_hashes = start.find(|c| c != '#')?;
    let content = start[n_hashes..].strip_prefix('"')?;
    let end = format!("\"{}", "#".repeat(n_hashes));
    let length = content.find(&end).map_or(content.len(), |at| at + end.len());
    Some(text.len() - content.len() + length)
}

/// The length of a literal with escapes, with both its quotes.
fn quoted_length(text: &str, quote: char) -> usize {
    let mut is_escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        if !is_escaped && c == quote {
            return at + c.len_utf8();
        }
        is_escaped = !is_escaped && c == '\\';
    }
    text.len()
}

/// The length of a character literal, or 1 for the tick of a lifetime.
fn character_length(text: &str) -> usize {
    let mut characters = text.chars().skip(1);
    let (first, second) = (characters.next(), characters.next());
    if first == Some('\\') || second == Some('\'') { quoted_length(text, '\'') } else { 1 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<&str> {
        let words = tokens(text).into_iter().filter_map(|token| match token {
            Token::Word(word) => Some(word),
            _ => None,
        });
        words.collect()
    }

    #[test]
    fn literals_and_comments_hold_no_words() {
        assert_eq!(words("a // b\nc /* d /* e */ f */ g"), ["a", "c", "g"]);
        assert_eq!(words(r##"a "b \" c" d r"e\" f r#"g " h"# i"##), ["a", "d", "f", "i"]);
        assert_eq!(words(r"a 'b' c '\'' d '\u{e9}' e"), ["a", "c", "d", "e"]);
        assert_eq!(words("f::<'a>(x: &'a str)"), ["f", "a", "x", "a", "str"]);
        assert_eq!(words("\"open"), [""; 0]);
    }

    #[test]
    fn paths_keep_their_marks() {
        use Token::{Colons, Mark, Word};
        assert_eq!(
            tokens("use a::{b};"),
            [Word("use"), Word("a"), Colons, Mark('{'), Word("b"), Mark('}'), Mark(';')]
        );
    }
}
