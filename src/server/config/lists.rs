//! Values of several words.

use super::{
    value::{ChannelTimeout, Method, MethodStep, Permitted, PubkeyAuthOptions},
    value_error::{ValueError, names, wrong},
};
use crate::server::host_port::{HostPort, NotHostPort};

pub(super) fn variables(words: &[String]) -> Result<Vec<(String, String)>, ValueError> {
    let mut variables: Vec<(String, String)> = Vec::new();
    for word in names(words)? {
        let (name, value) = word.split_once('=').ok_or_else(|| wrong(&word, "NAME=value"))?;
        if variables.iter().all(|(known, _)| known != name) {
            variables.push((name.to_owned(), value.to_owned()));
        }
    }
    Ok(variables)
}

pub(super) fn permitted(
    words: &[String],
    parse: impl Fn(&str) -> Result<HostPort, NotHostPort>,
) -> Result<Permitted, ValueError> {
    match words {
        [word] if word == "any" => Ok(Permitted::Any),
        [word] if word == "none" => Ok(Permitted::None),
        [] => Err(ValueError::Missing),
        places => Ok(Permitted::Places(places.iter().map(|place| parse(place)).collect::<Result<_, _>>()?)),
    }
}

pub(super) fn methods(words: &[String]) -> Result<Vec<Vec<MethodStep>>, ValueError> {
    if words == ["any"] {
        return Ok(Vec::new());
    }
    let step = |step: &str| match step {
        "any" => Err(ValueError::NotAlone("any")),
        step => MethodStep::parse(step).ok_or_else(|| wrong(step, Method::WORDS)),
    };
    names(words)?.iter().map(|list| list.split(',').map(step).collect()).collect()
}

pub(super) fn timeouts(words: &[String]) -> Result<Vec<ChannelTimeout>, ValueError> {
    match words {
        [] => Err(ValueError::Missing),
        [word] if word.eq_ignore_ascii_case("none") => Ok(Vec::new()),
        words => words
            .iter()
            .map(|word| ChannelTimeout::parse(word).ok_or_else(|| wrong(word, "TYPE=TIME")))
            .collect(),
    }
}

pub(super) fn pubkey_options(words: &[String]) -> Result<PubkeyAuthOptions, ValueError> {
    let mut options = PubkeyAuthOptions::default();
    for word in names(words)? {
        match word.to_ascii_lowercase().as_str() {
            "none" => {}
            "touch-required" => options.touch_required = true,
            "verify-required" => options.verify_required = true,
            _ => return Err(wrong(&word, "none, touch-required or verify-required")),
        }
    }
    Ok(options)
}
