//! Network settings, as flags, the environment and settings files have them.
#![no_main]

use std::{fmt, str::FromStr};

use irosh::transport::{Bind, NameService, Relay};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    prints_as_it_is_read::<Relay>(text);
    prints_as_it_is_read::<NameService>(text);
    prints_as_it_is_read::<Bind>(text);
});

fn prints_as_it_is_read<T>(text: &str)
where
    T: FromStr + fmt::Display + fmt::Debug + PartialEq,
    T::Err: fmt::Display + fmt::Debug + PartialEq,
{
    match text.parse::<T>() {
        Ok(setting) => {
            let printed = setting.to_string();
            assert_eq!(printed.parse(), Ok(setting), "{text:?} prints as {printed:?}");
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
}
