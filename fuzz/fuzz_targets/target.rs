//! The word after `ssh`, which somebody else may have sent: an alias, an endpoint id, a ticket or
//! an invite.
#![no_main]

use std::collections::BTreeMap;

use irosh::transport::Target;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    // An alias stands for what somebody else sent, too.
    let aliases = BTreeMap::from([("box".to_owned(), text.to_owned())]);
    let by_alias = Target::resolve("Box.irosh", &aliases);
    match text.parse::<Target>() {
        Ok(target) => {
            assert_eq!(target.name().parse(), Ok(target.clone()), "the bare name is the same target");
            let by_alias = by_alias.expect("what is a target by itself is one by its alias");
            assert_eq!((by_alias.name(), by_alias.addr()), ("box", target.addr()));
            assert!(!target.short_name().is_empty());
            if target.secret().is_some() {
                let shown = format!("{target} {target:?}");
                assert!(!shown.contains(target.name()), "an invite is never printed");
            }
        }
        Err(error) => {
            assert!(by_alias.is_err());
            assert!(!error.to_string().is_empty());
            let _ = Target::resolve(text, &aliases);
        }
    }
});
