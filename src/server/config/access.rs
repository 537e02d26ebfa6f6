//! What the configuration says of a login before it is tried: which methods there are, and who may come.

use super::{
    settings::Config,
    value::{Method, MethodStep},
};
use crate::server::{
    key_options::Whence,
    pattern::{UserPattern, matches_pattern},
};

/// The configuration contradicts itself: nobody could log in as it says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Contradiction {
    /// A command and nobody to run it.
    #[error("{0} is set without {0}User")]
    CommandWithoutUser(&'static str),
    /// Each list has a method that is switched off, or is not there at all.
    #[error("AuthenticationMethods cannot be satisfied by the methods that are enabled")]
    Methods,
}

/// A login is refused, whatever the proof.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotAllowed {
    /// `DenyUsers`.
    #[error("the user is listed in DenyUsers")]
    DenyUsers,
    /// `AllowUsers`.
    #[error("the user is not listed in AllowUsers")]
    AllowUsers,
    /// `DenyGroups`.
    #[error("a group of the user is listed in DenyGroups")]
    DenyGroups,
    /// `AllowGroups`.
    #[error("no group of the user is listed in AllowGroups")]
    AllowGroups,
}

impl Config {
    /// Whether a method may be tried.
    #[must_use]
    pub fn enables(&self, method: Method) -> bool {
        match method {
            Method::PublicKey => self.pubkey_authentication,
            Method::Password => self.password_authentication,
            Method::KeyboardInteractive => self.kbd_interactive_authentication,
            Method::None | Method::HostBased | Method::Gssapi => false,
        }
    }

    /// The lists of AuthenticationMethods that can be gone through; sshd passes over the others.
    pub fn method_lists(&self) -> impl Iterator<Item = &[MethodStep]> {
        let enabled = |steps: &&[MethodStep]| steps.iter().all(|step| self.enables(step.method));
        self.authentication_methods.iter().map(Vec::as_slice).filter(enabled)
    }

    /// Looks for contradictions, which sshd finds when it starts or when somebody connects.
    ///
    /// # Errors
    ///
    /// The first [`Contradiction`].
    pub fn check(&self) -> Result<(), Contradiction> {
        let commands = [
            ("AuthorizedKeysCommand", &self.authorized_keys_command, &self.authorized_keys_command_user),
            (
                "AuthorizedPrincipalsCommand",
                &self.authorized_principals_command,
                &self.authorized_principals_command_user,
            ),
        ];
        for (name, command, user) in commands {
            if command.is_some() && user.is_none() {
                return Err(Contradiction::CommandWithoutUser(name));
            }
        }
        // `none` asks for nothing that could be switched off.
        let none = |steps: &Vec<MethodStep>| matches!(&steps[..], [step] if step.method == Method::None);
        let lists = &self.authentication_methods;
        if !lists.is_empty() && !lists.iter().any(none) && self.method_lists().next().is_none() {
            return Err(Contradiction::Methods);
        }
        Ok(())
    }

    /// Whether a user with these groups may come from there: DenyUsers, AllowUsers, DenyGroups and
    /// AllowGroups in that order (OpenSSH's `allowed_user`).
    ///
    /// # Errors
    ///
    /// [`NotAllowed`] with the keyword that refuses, for the log alone.
    pub fn allows(&self, user: &str, groups: &[String], whence: Whence<'_>) -> Result<(), NotAllowed> {
        let listed = |users: &[UserPattern]| {
            users.iter().any(|pattern| pattern.matches(user, whence.host, whence.address))
        };
        let in_group = |patterns: &[String]| {
            groups.iter().any(|group| patterns.iter().any(|pattern| matches_pattern(group, pattern)))
        };
        if listed(&self.deny_users) {
            return Err(NotAllowed::DenyUsers);
        }
        if !self.allow_users.is_empty() && !listed(&self.allow_users) {
            return Err(NotAllowed::AllowUsers);
        }
        // Nothing is known of who is in no group at all, not even one of their own.
        if groups.is_empty() && !self.deny_groups.is_empty() {
            return Err(NotAllowed::DenyGroups);
        }
        if in_group(&self.deny_groups) {
            return Err(NotAllowed::DenyGroups);
        }
        if !self.allow_groups.is_empty() && !in_group(&self.allow_groups) {
            return Err(NotAllowed::AllowGroups);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::config::SshdConfig;

    fn config(text: &str) -> Config {
        let mut config = SshdConfig::default();
        config.add_file("test", text, &mut |_| Ok(Vec::new())).expect(text);
        config.server()
    }

    /// allow-deny-users.sh of OpenSSH's suite.
    #[test]
    fn deny_goes_before_allow() {
        let allows = |text: &str| config(text).allows("me", &[], Whence::default()).is_ok();
        assert!(allows(""));
        assert!(!allows("DenyUsers=nobody me") && !allows("DenyUsers=me nobody"));
        assert!(!allows("AllowUsers=nobody"));
        assert!(allows("AllowUsers=nobody me") && allows("AllowUsers=me nobody"));
        assert!(!allows("DenyUsers=me nobody\nAllowUsers=me nobody"));
    }

    #[test]
    fn users_may_be_tied_to_places_and_groups() {
        let there = Whence { host: Some("box"), address: Some([10, 0, 0, 1].into()) };
        let groups = ["staff".to_owned(), "wheel".to_owned()];
        let allows = |text: &str| config(text).allows("me", &groups, there);
        assert_eq!(allows("AllowUsers me@10.0.0.0/8"), Ok(()));
        assert_eq!(allows("AllowUsers me@11.0.0.0/8"), Err(NotAllowed::AllowUsers));
        assert_eq!(allows("AllowGroups w*"), Ok(()));
        assert_eq!(allows("AllowGroups root"), Err(NotAllowed::AllowGroups));
        assert_eq!(allows("AllowGroups wheel\nDenyGroups staff"), Err(NotAllowed::DenyGroups));
        let nowhere = Whence { host: Some("UNKNOWN"), address: None };
        let config = config("AllowUsers me@10.0.0.0/8");
        assert_eq!(config.allows("me", &groups, nowhere), Err(NotAllowed::AllowUsers));
    }

    #[test]
    fn method_lists_that_need_what_is_off_are_passed_over() {
        let text = "PasswordAuthentication no\nAuthenticationMethods publickey,password publickey,publickey";
        let config_of = config(text);
        let lists: Vec<_> = config_of.method_lists().map(<[_]>::len).collect();
        assert_eq!((lists, config_of.check()), (vec![2], Ok(())));
        let off = "PasswordAuthentication no\nAuthenticationMethods password";
        assert_eq!(config(off).check(), Err(Contradiction::Methods));
        assert_eq!(config("AuthenticationMethods none").check(), Ok(()));
    }

    #[test]
    fn a_command_needs_a_user() {
        let error = config("AuthorizedKeysCommand /x").check().expect_err("no user").to_string();
        assert_eq!(error, "AuthorizedKeysCommand is set without AuthorizedKeysCommandUser");
        assert_eq!(config("AuthorizedKeysCommand /x\nAuthorizedKeysCommandUser nobody").check(), Ok(()));
    }
}
