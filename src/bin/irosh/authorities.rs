//! `irosh peers allow` with a line that has `cert-authority`, and how such lines are shown.

use irosh::{
    host::{Admin, AllowedAuthority, Authority, Edit, ListedAuthority},
    log::{printable, say},
};
use serde_json::{Value, json};

use super::ended::tell_ended;

/// Has certificates of an authority's admit.
pub(super) fn allow(
    host: &Admin,
    mut authority: Authority,
    name: Option<String>,
    edit: Edit,
    json: bool,
) -> anyhow::Result<()> {
    authority.name = name.unwrap_or(authority.name);
    let AllowedAuthority { authority, before, ended } = host.allow_authority(&authority, edit)?;
    show(&authority, &[("ended", json!(ended))], json);
    if let Some(before) = before {
        say(&printable(&format!("irosh: it was: {} {}\n", before.options, before.name)));
    }
    ended.iter().flatten().for_each(tell_ended);
    Ok(())
}

pub(super) fn show(authority: &ListedAuthority, more: &[(&str, Value)], json: bool) {
    if json {
        let mut line = json!(authority);
        line["revoked"] = json!(false);
        more.iter().for_each(|(key, value)| line[key] = value.clone());
        return super::print::print(&line.to_string());
    }
    let ListedAuthority { name, authority, options, .. } = authority;
    super::print::print(&printable(&format!("{authority}  {:<15}  {name}  {options}", "an authority")));
}
