//! `irosh peers allow` with a line that has `cert-authority`, and how such lines are shown.

use irosh::{
    files::Paths,
    host::{Authority, Edit, allow_authority, can_vouch},
    log::{printable, say},
};
use serde_json::json;

/// Has certificates of an authority's admit.
pub(super) fn allow(
    paths: &Paths,
    mut authority: Authority,
    name: Option<String>,
    edit: Edit,
    json: bool,
) -> anyhow::Result<()> {
    let file = paths.authorized_peers();
    if let Some(login) = &authority.options.login {
        can_vouch(&file, login)?;
    }
    authority.name = name.unwrap_or(authority.name);
    let (authority, before) = allow_authority(&file, &authority, edit)?;
    show(&authority, json);
    if let Some(before) = before.filter(|before| *before != authority) {
        say(&printable(&format!("irosh: it was: {} {}\n", before.all_options(), before.name)));
    }
    Ok(())
}

pub(super) fn show(authority: &Authority, json: bool) {
    let (fingerprint, options) = (authority.fingerprint(), authority.all_options());
    let Authority { name, principals, options: of_all, .. } = authority;
    if json {
        let line = json!({
            "name": name, "authority": fingerprint, "principals": principals, "login": of_all.login,
            "options": options, "expires": of_all.expiry_time,
        });
        return super::print(&line.to_string());
    }
    super::print(&printable(&format!("{fingerprint}  {:<15}  {name}  {options}", "an authority")));
}
