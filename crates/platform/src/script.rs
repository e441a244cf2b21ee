//! Scripts of SQL: the migrations of every database.

use crate::{Store, StoreError};

/// The statements of a script: what stands between semicolons, outside of strings and comments. Those in a trigger are its own.
#[must_use]
pub fn statements(script: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut current = String::new();
    let mut quote = None;
    let mut characters = script.chars().peekable();
    while let Some(character) = characters.next() {
        match (quote, character) {
            (None, '-') if characters.peek() == Some(&'-') => {
                while characters.next_if(|next| *next != '\n').is_some() {}
                continue;
            }
            (None, ';') if !is_in_trigger(&current) => {
                found.push(std::mem::take(&mut current));
                continue;
            }
            (None, '\'' | '"') => quote = Some(character),
            (Some(open), _) if open == character => quote = None,
            _ => {}
        }
        current.push(character);
    }
    found.push(current);
    found.iter().map(|text| text.trim().to_owned()).filter(|text| !text.is_empty()).collect()
}

/// Whether what there is of a statement is a trigger that has not ended.
fn is_in_trigger(statement: &str) -> bool {
    let statement = statement.trim();
    statement.starts_with("CREATE TRIGGER") && !statement.ends_with("\nEND")
}

/// Runs a script statement by statement.
///
/// # Errors
/// The store's, for the first statement that fails; those before it stand unless a transaction is around them.
pub fn run_script(store: &dyn Store, script: &str) -> Result<(), StoreError> {
    statements(script).iter().try_for_each(|statement| store.query(statement, &[]).map(drop))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn splits_a_script_into_statements() {
        let sql = "-- first; not a statement\nCREATE TABLE a (b TEXT DEFAULT ';--', c TEXT DEFAULT 'it''s;'); -- x;\n\
                   \nCREATE TABLE \"d;\" (e - -1);\n  ;\n-- end";
        let expected = [
            "CREATE TABLE a (b TEXT DEFAULT ';--', c TEXT DEFAULT 'it''s;')",
            "CREATE TABLE \"d;\" (e - -1)",
        ];
        assert_eq!(statements(sql), expected);
    }

    #[test]
    fn keeps_a_trigger_together() {
        let trigger = "CREATE TRIGGER a AFTER INSERT ON b BEGIN\n  DELETE FROM c;\n  DELETE FROM d;\nEND";
        assert_eq!(
            statements(&format!("SELECT 1;\n{trigger};\nSELECT 2;")),
            ["SELECT 1", trigger, "SELECT 2"]
        );
    }
}
