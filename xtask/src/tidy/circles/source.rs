//! What one source file imports and names.

use std::collections::BTreeSet;

use super::tokens::{Token, tokens};

/// A module path from the root of the crate; empty for the root itself.
pub(crate) type ModulePath = Vec<String>;

/// The paths in a source file, without code that only tests compile.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Source {
    /// Names that `use` brings into the file.
    pub(crate) uses: Vec<Use>,
    /// Paths in the code beside the `use` lines.
    pub(crate) paths: Vec<ModulePath>,
    /// Names of items that the file defines.
    pub(crate) defined: BTreeSet<String>,
    /// Modules that only tests compile.
    pub(crate) test_modules: BTreeSet<String>,
}

/// One name, or one `*`, of a `use` line.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Use {
    /// The path, without the `*`.
    pub(crate) path: ModulePath,
    /// The name it has in this file; none for `*` and `_`.
    pub(crate) name: Option<String>,
    /// True for `*`.
    pub(crate) is_glob: bool,
    /// True for `pub use` with any visibility.
    pub(crate) is_public: bool,
}

const ITEM_WORDS: [&str; 8] = ["fn", "struct", "enum", "trait", "type", "const", "static", "macro_rules"];

impl Source {
    /// Reads the text of the file that holds `module`.
    pub(crate) fn parse(text: &str, module: &[String]) -> Self {
        let tokens = tokens(text);
        let mut parser = Parser {
            tokens: &tokens,
            at: 0,
            here: module.to_vec(),
            inline: Vec::new(),
            depth: 0,
            source: Self::default(),
        };
        parser.read();
        parser.source
    }
}

struct Parser<'a> {
    tokens: &'a [Token<'a>],
    at: usize,
    /// The module that the next token belongs to.
    here: ModulePath,
    /// Depths of braces around the open inline modules.
    inline: Vec<usize>,
    depth: usize,
    source: Source,
}

impl<'a> Parser<'a> {
    fn peek(&self, ahead: usize) -> Option<Token<'a>> {
        self.tokens.get(self.at + ahead).copied()
    }

    fn word(&self, ahead: usize) -> Option<&'a str> {
        match self.peek(ahead) {
            Some(Token::Word(word)) => Some(word),
            _ => None,
        }
    }

    fn before(&self, back: usize) -> Option<Token<'a>> {
        self.at.checked_sub(back).map(|at| self.tokens[at])
    }

    fn read(&mut self) {
        while let Some(token) = self.peek(0) {
            match token {
                Token::Mark('#') if self.is_test_attribute() => self.skip_item(),
                Token::Mark('{') => self.open_brace(),
                Token::Mark('}') => self.close_brace(),
                Token::Word("use") => self.read_use(),
                Token::Word("mod") if self.peek(2) == Some(Token::Mark('{')) => self.open_module(),
                Token::Word(word) => self.read_word(word),
                _ => self.at += 1,
            }
        }
    }

    fn open_brace(&mut self) {
        self.depth += 1;
        self.at += 1;
    }

    fn close_brace(&mut self) {
        self.depth = self.depth.saturating_sub(1);
        if self.inline.last() == Some(&self.depth) {
            self.inline.pop();
            self.here.pop();
        }
        self.at += 1;
    }

    fn open_module(&mut self) {
        self.here.extend(self.word(1).map(str::to_owned));
        self.inline.push(self.depth);
        self.at += 2;
    }

    /// `#[cfg(test)]`
    fn is_test_attribute(&self) -> bool {
        use Token::{Mark, Word};
        let attribute = [Mark('#'), Mark('['), Word("cfg"), Mark('('), Word("test"), Mark(')'), Mark(']')];
        self.tokens[self.at..].starts_with(&attribute)
    }

    /// Skips an item with its attributes: up to its `;`, or to the end of its body.
    fn skip_item(&mut self) {
        let mut depth = 0_usize;
        let (mut is_use, mut is_attribute) = (false, false);
        while let Some(token) = self.peek(0) {
            self.at += 1;
            match token {
                Token::Mark('#') if depth == 0 => is_attribute = true,
                Token::Word("use") if depth == 0 => is_use = true,
                Token::Word("mod") if depth == 0 => {
                    self.source.test_modules.extend(self.word(0).map(str::to_owned));
                }
                Token::Mark('{' | '(' | '[') => depth += 1,
                Token::Mark('}' | ')' | ']') => {
                    depth = depth.saturating_sub(1);
                    if depth == 0 && token == Token::Mark('}') && !is_use {
                        return;
                    }
                    is_attribute &= depth > 0;
                }
                Token::Mark(';') if depth == 0 && !is_attribute => return,
                _ => {}
            }
        }
    }

    fn read_word(&mut self, word: &str) {
        if ITEM_WORDS.contains(&word) {
            let ahead = if word == "macro_rules" { 2 } else { 1 };
            self.source.defined.extend(self.word(ahead).map(str::to_owned));
        }
        let is_start = !matches!(self.before(1), Some(Token::Colons | Token::Mark('.')));
        let is_visibility =
            self.before(1) == Some(Token::Word("in")) && self.before(2) == Some(Token::Mark('('));
        let mut path = vec![word.to_owned()];
        self.at += 1;
        while self.peek(0) == Some(Token::Colons)
            && let Some(next) = self.word(1)
        {
            path.push(next.to_owned());
            self.at += 2;
        }
        if is_start && !is_visibility && path.len() > 1 {
            self.source.paths.extend(self.absolute(&path));
        }
    }

    fn read_use(&mut self) {
        let is_public = matches!(self.before(1), Some(Token::Word("pub") | Token::Mark(')')));
        self.at += 1;
        self.read_use_tree(&[], is_public);
    }

    /// Reads `a::b`, `a::{..}`, `a::*` or `a as b` below `prefix`.
    fn read_use_tree(&mut self, prefix: &[String], is_public: bool) {
        let mut path = prefix.to_vec();
        loop {
            match self.peek(0) {
                Some(Token::Word(word)) => {
                    path.push(word.to_owned());
                    self.at += 1;
                    if self.peek(0) != Some(Token::Colons) {
                        return self.push_use(path, is_public);
                    }
                }
                Some(Token::Colons) => self.at += 1,
                Some(Token::Mark('*')) => {
                    self.at += 1;
                    let path = self.absolute(&path);
                    self.source.uses.extend(path.map(|path| Use {
                        path,
                        name: None,
                        is_glob: true,
                        is_public,
                    }));
                    return;
                }
                Some(Token::Mark('{')) => {
                    self.at += 1;
                    while !matches!(self.peek(0), None | Some(Token::Mark('}'))) {
                        match self.peek(0) {
                            Some(Token::Mark(',')) => self.at += 1,
                            _ => self.read_use_tree(&path, is_public),
                        }
                    }
                    self.at += 1;
                    return;
                }
                _ => {
                    self.at += 1;
                    return;
                }
            }
        }
    }

    fn push_use(&mut self, mut path: ModulePath, is_public: bool) {
        if path.len() > 1 && path.last().is_some_and(|last| last == "self") {
            path.pop();
        }
        let mut name = path.last().cloned();
        if self.word(0) == Some("as") {
            name = self.word(1).map(str::to_owned);
            self.at += 2;
        }
        let name = name.filter(|name| name != "_");
        let path = self.absolute(&path);
        self.source.uses.extend(path.map(|path| Use { path, name, is_glob: false, is_public }));
    }

    /// The path from the root. A path without `crate`, `self` or `super` is taken as one of this module;
    /// it leads nowhere if it is one of another crate.
    fn absolute(&self, path: &[String]) -> Option<ModulePath> {
        let mut base = match path.first()?.as_str() {
            "crate" => Vec::new(),
            _ => self.here.clone(),
        };
        let n_up = path.iter().skip_while(|word| *word == "self").take_while(|word| *word == "super").count();
        base.truncate(base.len().checked_sub(n_up)?);
        base.extend(
            path.iter().skip_while(|word| matches!(word.as_str(), "crate" | "self" | "super")).cloned(),
        );
        Some(base)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn module(path: &str) -> ModulePath {
        path.split("::").filter(|word| !word.is_empty()).map(str::to_owned).collect()
    }

    fn uses(text: &str) -> Vec<String> {
        let source = Source::parse(text, &module("a::b"));
        let uses = source.uses.iter().map(|import| {
            let name = if import.is_glob { "*" } else { import.name.as_deref().unwrap_or("_") };
            format!("{}{} = {name}", if import.is_public { "pub " } else { "" }, import.path.join("::"))
        });
        uses.collect()
    }

    fn paths(text: &str) -> Vec<String> {
        Source::parse(text, &module("a::b")).paths.iter().map(|path| path.join("::")).collect()
    }

    #[test]
    fn trees_of_use_are_unfolded() {
        assert_eq!(
            uses("use crate::c::{self, d::{E, F as G}, h::*}; pub(crate) use super::x::Y;"),
            ["c = c", "c::d::E = E", "c::d::F = G", "c::h = *", "pub a::x::Y = Y"]
        );
        assert_eq!(
            uses("use self::c::D; use super::super::E as _; pub use f::G;"),
            ["a::b::c::D = D", "E = _", "pub a::b::f::G = G"]
        );
    }

    #[test]
    fn paths_in_code_are_found() {
        assert_eq!(
            paths("fn f(x: &crate::c::D) -> super::E { g::h(x.y::<u8>()); <crate::i::J as K>::l() }"),
            ["c::D", "a::E", "a::b::g::h", "i::J"]
        );
        assert_eq!(paths("pub(in crate::c) fn f() {} // crate::d::E\n"), [""; 0]);
    }

    #[test]
    fn inline_modules_count_for_super() {
        assert_eq!(
            paths("mod c { fn f() { super::g::h(); } } fn i() { super::j::k(); }"),
            ["a::b::g::h", "a::j::k"]
        );
    }

    #[test]
    fn code_of_tests_is_left_out() {
        assert_eq!(uses("#[cfg(test)]\nmod tests { use crate::c::D; }\nuse crate::e::F;"), ["e::F = F"]);
        assert_eq!(uses("#[cfg(test)] use crate::c::{D, E}; use crate::f::G;"), ["f::G = G"]);
        assert_eq!(
            paths("#[cfg(test)] #[x(y)] fn f() -> [u8; 2] { crate::c::d() } fn g() { crate::e::f() }"),
            ["e::f"]
        );
        let source = Source::parse("#[cfg(test)]\nmod support;\nmod real;", &[]);
        assert_eq!(source.test_modules, ["support".to_owned()].into());
    }
}
