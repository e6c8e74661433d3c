//! Statements that travel together.

use crate::adapters::sqlite::row::{Statement, composed};

/// Statements that travel at once. A script is kept prepared whole, and a save may hold
/// thousands of writes.
const STATEMENTS_MAX: usize = 16;

/// Statements in their order, with who is refused where one changes no row.
#[derive(Default)]
pub(super) struct Script {
    statements: Vec<Statement>,
    guards: Vec<Option<String>>,
}

impl Script {
    /// Whether a statement may travel with others: its arguments are numbered.
    pub(super) fn takes(statement: &Statement) -> bool {
        !statement.sql.contains('?')
    }

    /// Whether it has to go before another statement comes.
    pub(super) fn is_full(&self) -> bool {
        self.statements.len() >= STATEMENTS_MAX
    }

    pub(super) fn push(&mut self, statement: Statement, guard: Option<String>) {
        debug_assert!(Self::takes(&statement), "{}", statement.sql);
        self.statements.push(statement);
        self.guards.push(guard);
    }

    /// Everything as one statement, and its guards. Saves of the same writes make the same
    /// text, which the connection keeps prepared.
    pub(super) fn take(&mut self) -> Option<(Statement, Vec<Option<String>>)> {
        let guards = std::mem::take(&mut self.guards);
        let mut statements = std::mem::take(&mut self.statements);
        if statements.len() < 2 {
            return statements.pop().map(|only| (only, guards));
        }
        let mut text = String::with_capacity(statements.iter().map(|s| s.sql.len() + 16).sum());
        let mut values = Vec::with_capacity(statements.iter().map(|s| s.values.len()).sum());
        for statement in statements {
            append(&mut text, &statement.sql, values.len());
            values.extend(statement.values);
        }
        let mut together = composed(text, true);
        together.values = values;
        Some((together, guards))
    }
}

/// Appends a statement whose arguments follow on `before` others.
fn append(text: &mut String, sql: &str, before: usize) {
    let mut parts = sql.split('$');
    text.push_str(parts.next().unwrap_or_default());
    for part in parts {
        let digits = part.bytes().take_while(u8::is_ascii_digit).count();
        let (number, rest) = part.split_at(digits);
        text.push('$');
        if let Ok(number) = number.parse::<usize>() {
            text.push_str(&(before + number).to_string());
        }
        text.push_str(rest);
    }
    text.push_str(";\n");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::adapters::sqlite::row::statement;

    #[test]
    fn arguments_are_numbered_on() {
        let mut script = Script::default();
        assert!(script.take().is_none());
        script.push(statement("SAVEPOINT one"), None);
        script.push(statement("INSERT INTO a VALUES ($1, $2, '$.x')").bind("x").bind(1_i64), Some("a".to_owned()));
        script.push(statement("DELETE FROM b WHERE c = $1 OR d = $1").bind("y"), None);
        let (together, guards) = script.take().unwrap();
        assert_eq!(
            together.sql,
            "SAVEPOINT one;\nINSERT INTO a VALUES ($1, $2, '$.x');\nDELETE FROM b WHERE c = $3 OR d = $3;\n"
        );
        assert_eq!((together.values.len(), guards), (3, vec![None, Some("a".to_owned()), None]));
    }
}
