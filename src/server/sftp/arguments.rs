//! The options of sftp-server(8), and of `internal-sftp` in a configuration.

use std::path::PathBuf;

use super::Options;

/// What is wrong with an argument.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ArgumentError {
    /// No such option.
    #[error("-{0} is not an option: use -R, -d DIRECTORY, -P REQUESTS, -p REQUESTS, -u UMASK")]
    Unknown(char),
    /// Nothing follows an option that needs a value.
    #[error("-{0} needs a value")]
    NoValue(char),
    /// Not an octal number.
    #[error("`{0}` is not a umask")]
    Umask(String),
}

impl Options {
    /// Reads options as getopt does: letters may be joined, and a value may follow its letter at once.
    ///
    /// # Errors
    ///
    /// [`ArgumentError`].
    pub fn parse(arguments: impl IntoIterator<Item = String>) -> Result<Self, ArgumentError> {
        let mut arguments = arguments.into_iter();
        let mut options = Self { start: PathBuf::from("."), ..Self::default() };
        while let Some(argument) = arguments.next() {
            let letters = argument.strip_prefix('-').filter(|letters| !letters.is_empty() && *letters != "-");
            // What follows is not looked at: `scp -D` passes the host.
            let Some(letters) = letters else { break };
            let mut letters = letters.chars();
            while let Some(letter) = letters.next() {
                let mut value = || {
                    let rest: String = letters.by_ref().collect();
                    let value = if rest.is_empty() { arguments.next() } else { Some(rest) };
                    value.ok_or(ArgumentError::NoValue(letter))
                };
                match letter {
                    'R' => options.read_only = true,
                    'd' => options.start = value()?.into(),
                    'P' => options.denied = requests(&value()?),
                    'p' => options.allowed = Some(requests(&value()?)),
                    'u' => {
                        let text = value()?;
                        let mask = u32::from_str_radix(&text, 8).ok().filter(|mask| *mask <= 0o777);
                        options.umask = Some(mask.ok_or(ArgumentError::Umask(text))?);
                    }
                    // Where and how much sftp-server logs, which is not said here.
                    'e' => {}
                    'f' | 'l' => drop(value()?),
                    other => return Err(ArgumentError::Unknown(other)),
                }
            }
        }
        Ok(options)
    }
}

fn requests(text: &str) -> Vec<String> {
    text.split(',').map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Options, ArgumentError> {
        Options::parse(line.split(' ').map(str::to_owned))
    }

    #[test]
    fn letters_may_be_joined_and_values_follow_at_once() {
        let options = parse("-el debug3 -Rd/srv -u 027 -P remove,rename").expect("options");
        assert!(options.read_only);
        assert_eq!((options.start, options.umask), (PathBuf::from("/srv"), Some(0o27)));
        assert_eq!(options.denied, ["remove", "rename"]);
    }

    #[test]
    fn what_is_no_option_is_named() {
        assert_eq!(parse("-x").err(), Some(ArgumentError::Unknown('x')));
        assert_eq!(parse("-d").err(), Some(ArgumentError::NoValue('d')));
        assert_eq!(parse("-u 9").err(), Some(ArgumentError::Umask("9".to_owned())));
    }
}
