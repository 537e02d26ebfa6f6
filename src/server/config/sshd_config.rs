//! All that is configured, and what of it holds for whom.

use super::{
    condition::{Condition, Connection},
    keyword::{Keyword, Meaning},
    problem::Problem,
    set::Arguments,
    settings::{Config, Settings},
};
use crate::server::pattern::UserPattern;

/// All that files and options say, checked.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SshdConfig {
    global: Settings,
    blocks: Vec<Block>,
    ignored: Vec<(&'static str, String)>,
    warnings: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Block {
    conditions: Vec<Condition>,
    settings: Settings,
}

/// Where a line stands.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Scope {
    /// All of them must hold.
    pub(super) conditions: Vec<Condition>,
    /// Whether a `Match` came before, be it `Match all`.
    pub(super) in_match: bool,
}

impl SshdConfig {
    /// What holds before anything is known of a connection. (`sshd -T` without `-C` prints what holds for a
    /// connection of which nothing is known: [`Self::connection`] of the default.)
    #[must_use]
    pub fn server(&self) -> Config {
        self.global.clone().complete()
    }

    /// What holds for a connection: the first that the matching blocks say counts, then what stands
    /// outside of them.
    #[must_use]
    pub fn connection(&self, connection: &Connection) -> Config {
        let matching = |block: &&Block| block.conditions.iter().all(|condition| condition.holds(connection));
        let matched = self.blocks.iter().filter(matching).map(|block| block.settings.clone());
        matched.fold(Settings::default(), Settings::then).over(self.global.clone()).complete()
    }

    /// Whether it matters to any login in which groups it is.
    #[must_use]
    pub(in crate::server) fn speaks_of_groups(&self) -> bool {
        let lists = |settings: &Settings| settings.allow_groups.is_some() || settings.deny_groups.is_some();
        let matches = |block: &Block| {
            lists(&block.settings) || block.conditions.iter().any(|one| matches!(one, Condition::Group(_)))
        };
        lists(&self.global) || self.blocks.iter().any(matches)
    }

    /// Whether it matters to any login where it comes from.
    #[must_use]
    pub fn speaks_of_addresses(&self) -> bool {
        let lists = |settings: &Settings| {
            let mut users = settings.allow_users.iter().chain(&settings.deny_users).flatten();
            users.any(UserPattern::names_hosts)
        };
        let matches = |block: &Block| {
            let addresses = |one: &Condition| matches!(one, Condition::Address(_) | Condition::Host(_));
            lists(&block.settings) || block.conditions.iter().any(addresses)
        };
        lists(&self.global) || self.blocks.iter().any(matches)
    }

    /// Adds what another says. What was added before it counts before it.
    pub fn add(&mut self, other: Self) {
        self.global = std::mem::take(&mut self.global).then(other.global);
        self.blocks.extend(other.blocks);
        self.ignored.extend(other.ignored);
        self.warnings.extend(other.warnings);
    }

    /// The keywords that mean nothing to the server itself, such as `Port`, with what followed
    /// them, in order.
    pub fn ignored(&self) -> impl Iterator<Item = (&'static str, &str)> {
        self.ignored.iter().map(|(keyword, value)| (*keyword, value.as_str()))
    }

    /// What is asked for and changes nothing here, a sentence each.
    pub fn warnings(&self) -> impl Iterator<Item = &str> {
        self.warnings.iter().map(String::as_str)
    }

    pub(super) fn set(&mut self, scope: &Scope, name: &str, arguments: &Arguments) -> Result<(), Problem> {
        let keyword = match Keyword::find(name)? {
            Meaning::Served(keyword) => keyword,
            Meaning::Ignored(keyword) => {
                self.ignored.push((keyword, arguments.words.join(" ")));
                return Ok(());
            }
            Meaning::Only(keyword, values) => {
                return match (&arguments.words[..], values) {
                    ([word], values) if values.iter().any(|value| word.eq_ignore_ascii_case(value)) => Ok(()),
                    (_, values) => Err(Problem::Unsupported {
                        keyword,
                        harmless: values.first().copied().unwrap_or_default(),
                    }),
                };
            }
        };
        let wrong = |error| Problem::Value { keyword: keyword.name(), error };
        let value = arguments.words.first().map_or("", String::as_str);
        if let Some(reason) = keyword.without_effect(value, !scope.conditions.is_empty()) {
            self.warnings.push(format!("{} {value} has no effect: {reason}", keyword.name()));
        }
        // As in sshd, which sets what stands under `Match all` when it reads the file, too.
        if scope.conditions.is_empty() {
            keyword.set(arguments, &mut self.global).map_err(wrong)?;
        }
        match (scope.in_match, keyword.goes_in_match()) {
            (true, true) => keyword.set(arguments, self.block(&scope.conditions)).map_err(wrong),
            (true, false) if !scope.conditions.is_empty() => Err(Problem::NotInMatch(keyword.name())),
            _ => Ok(()),
        }
    }

    fn block(&mut self, conditions: &[Condition]) -> &mut Settings {
        let same = self.blocks.last().is_some_and(|block| block.conditions == conditions);
        if !same {
            self.blocks.push(Block { conditions: conditions.to_vec(), settings: Settings::default() });
        }
        let last = self.blocks.len() - 1;
        &mut self.blocks[last].settings
    }
}
