//! A script's text to tokens.

use super::ScriptError;

/// One token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Token {
    /// A bare word: a name, number, address, time.
    Word(String),
    /// Text in quotes, without them.
    Text(String),
    /// `{`
    Open,
    /// `}`
    Close,
    /// `(`
    ParenOpen,
    /// `)`
    ParenClose,
    /// `=`
    Equals,
    /// The end of a line.
    Newline,
}

/// A token and its line, counted from 1.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Lexeme {
    pub(super) line: usize,
    pub(super) token: Token,
}

/// Tokens of a script. Commas and semicolons are space; `#` starts a comment.
pub(super) fn lexemes(file: &str, text: &str) -> Result<Vec<Lexeme>, ScriptError> {
    let mut found = Vec::new();
    for (line, content) in (1..).zip(text.lines()) {
        line_of(content, &mut |token| found.push(Lexeme { line, token })).map_err(|reason| ScriptError::Syntax {
            file: file.to_owned(),
            line,
            reason,
        })?;
        found.push(Lexeme { line, token: Token::Newline });
    }
    Ok(found)
}

fn line_of(content: &str, push: &mut dyn FnMut(Token)) -> Result<(), String> {
    let mut rest = content.chars().peekable();
    while let Some(first) = rest.next() {
        let token = match first {
            '#' => return Ok(()),
            c if c.is_whitespace() || matches!(c, ',' | ';') => continue,
            '{' => Token::Open,
            '}' => Token::Close,
            '(' => Token::ParenOpen,
            ')' => Token::ParenClose,
            '=' => Token::Equals,
            '"' => Token::Text(quoted(&mut rest)?),
            c => {
                let mut word = String::from(c);
                while let Some(next) = rest.next_if(|c| !is_end(*c)) {
                    word.push(next);
                }
                Token::Word(word)
            }
        };
        push(token);
    }
    Ok(())
}

fn is_end(c: char) -> bool {
    c.is_whitespace() || matches!(c, ',' | ';' | '{' | '}' | '(' | ')' | '=' | '"' | '#')
}

/// Up to the closing quote; `\"`, `\\` and `\n` stand for what they look like.
fn quoted(rest: &mut impl Iterator<Item = char>) -> Result<String, String> {
    let mut text = String::new();
    while let Some(c) = rest.next() {
        match c {
            '"' => return Ok(text),
            '\\' => match rest.next() {
                Some('n') => text.push('\n'),
                Some(c @ ('"' | '\\')) => text.push(c),
                _ => return Err("a backslash stands before a quote, a backslash or n".into()),
            },
            c => text.push(c),
        }
    }
    Err("a quote without its end".into())
}
