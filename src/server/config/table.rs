//! The table `[sshd]` of `host.toml`.

use serde::{Deserialize, Deserializer, de::Error as _};
use toml::{Table, Value};

use super::{
    condition::{Condition, ConditionError},
    keyword::{Keyword, Meaning},
    problem::{ConfigError, Problem},
    set::Arguments,
    sshd_config::{Scope, SshdConfig},
    words::split_words,
};

impl SshdConfig {
    /// Adds a table whose keys are keywords, in any case. A string is what would follow the keyword in
    /// sshd_config, with its quotes; `true` and `false` are `yes` and `no`; a number is itself; a list is
    /// several words as they are, or several files of `HostKey`, or several lines of `Subsystem`, which may
    /// be a table of names, as may `SetEnv`.
    /// `[[sshd.Match]]` has conditions and keywords side by side.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] for the first key that is wrong.
    pub fn add_table(&mut self, table: &Table) -> Result<(), ConfigError> {
        self.add_keys(table, "[sshd]", &Scope::default())
    }

    fn add_keys(&mut self, table: &Table, place: &str, scope: &Scope) -> Result<(), ConfigError> {
        let at = |problem| ConfigError { place: place.to_owned(), problem };
        for (key, value) in table {
            if key.eq_ignore_ascii_case("Match") && !scope.in_match {
                self.add_blocks(value)?;
                continue;
            }
            if scope.in_match && is_condition(key) {
                continue;
            }
            for arguments in lines(key, value).map_err(at)? {
                self.set(scope, key, &arguments).map_err(at)?;
            }
        }
        Ok(())
    }

    fn add_blocks(&mut self, value: &Value) -> Result<(), ConfigError> {
        let place = "[[sshd.Match]]";
        let at = |problem| ConfigError { place: place.to_owned(), problem };
        let wrong = || at(Problem::Type("Match".to_owned()));
        for block in value.as_array().ok_or_else(wrong)? {
            let block = block.as_table().ok_or_else(wrong)?;
            let mut conditions = Vec::new();
            for (key, value) in block.iter().filter(|(key, _)| is_condition(key)) {
                let value = one_word(value).ok_or_else(|| at(Problem::Type(key.clone())))?;
                conditions.push(Condition::parse(key, &value).map_err(|error| at(error.into()))?);
            }
            if conditions.is_empty() {
                return Err(at(ConditionError::Missing.into()));
            }
            self.add_keys(block, place, &Scope { conditions, in_match: true })?;
        }
        Ok(())
    }
}

impl<'de> Deserialize<'de> for SshdConfig {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut config = Self::default();
        config.add_table(&Table::deserialize(deserializer)?).map_err(D::Error::custom)?;
        Ok(config)
    }
}

fn is_condition(key: &str) -> bool {
    !matches!(Condition::parse(key, "0"), Err(ConditionError::Unknown(_)))
}

/// The lines that a key stands for.
fn lines(key: &str, value: &Value) -> Result<Vec<Arguments>, Problem> {
    let wrong = || Problem::Type(key.to_owned());
    let keyword = match Keyword::find(key)? {
        Meaning::Served(keyword) => Some(keyword),
        Meaning::Ignored(_) | Meaning::Only(..) => None,
    };
    match value {
        Value::String(text) => Ok(vec![line(key, text)?]),
        Value::Array(values) if keyword == Some(Keyword::Subsystem) => {
            values.iter().map(|value| line(key, value.as_str().ok_or_else(wrong)?)).collect()
        }
        Value::Array(values) if keyword.is_some_and(Keyword::is_one_a_line) => values
            .iter()
            .map(|value| Ok(of_words(vec![value.as_str().ok_or_else(wrong)?.to_owned()])))
            .collect(),
        Value::Array(values) => {
            let words: Option<Vec<_>> = values.iter().map(one_word).collect();
            Ok(vec![of_words(words.ok_or_else(wrong)?)])
        }
        Value::Table(table) if keyword == Some(Keyword::SetEnv) => {
            let word = |(name, value)| one_word(value).map(|value| format!("{name}={value}"));
            let words: Option<Vec<_>> = table.iter().map(word).collect();
            Ok(vec![of_words(words.ok_or_else(wrong)?)])
        }
        Value::Table(table) if keyword == Some(Keyword::Subsystem) => table
            .iter()
            .map(|(name, command)| {
                let command = command.as_str().ok_or_else(wrong)?.to_owned();
                Ok(of_words(vec![name.clone(), command]))
            })
            .collect(),
        value => Ok(vec![of_words(vec![one_word(value).ok_or_else(wrong)?])]),
    }
}

fn line(key: &str, text: &str) -> Result<Arguments, Problem> {
    let words = split_words(text, false).ok_or_else(|| Problem::Quotes(key.to_owned()))?;
    Ok(Arguments { words, rest: text.to_owned() })
}

fn of_words(words: Vec<String>) -> Arguments {
    Arguments { rest: words.join(" "), words }
}

fn one_word(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Integer(number) => Some(number.to_string()),
        Value::Boolean(flag) => Some(if *flag { "yes" } else { "no" }.to_owned()),
        _ => None,
    }
}

#[cfg(test)]
#[path = "table_tests.rs"]
mod tests;
