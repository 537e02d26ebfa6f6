//! The HTTP proxy that the environment names, by which relays and the name service are reached.

use hyper_util::client::proxy::matcher::Matcher;
use url::Url;

/// The proxy for the first of these servers that has one; iroh has one for all of them.
///
/// The variables are those of curl: `https_proxy`, or `http_proxy` for a server without TLS, else `all_proxy`; and
/// `no_proxy`, each in capitals as well. SOCKS is not spoken.
pub(crate) fn web_proxy<'a>(
    servers: impl IntoIterator<Item = &'a Url>,
    variable: impl Fn(&str) -> Option<String>,
) -> Option<Url> {
    let value = |name: &str| {
        let set = |name: &str| variable(name).filter(|value| !value.is_empty());
        set(name).or_else(|| set(&name.to_ascii_uppercase()))
    };
    let all =
        Matcher::builder().all("http://proxy.invalid").no(value("no_proxy").unwrap_or_default()).build();
    let excepted = |server: &Url| {
        let uri = server.as_str().parse();
        uri.is_ok_and(|uri: http::Uri| all.intercept(&uri).is_none())
    };
    servers.into_iter().filter(|server| !excepted(server)).find_map(|server| {
        let own = if server.scheme() == "http" { "http_proxy" } else { "https_proxy" };
        let named = value(own).or_else(|| value("all_proxy"))?;
        // As curl does, where the scheme is left out.
        let named = if named.contains("://") { named } else { format!("http://{named}") };
        named.parse().ok().filter(|proxy: &Url| matches!(proxy.scheme(), "http" | "https"))
    })
}

/// The proxy that this process's environment names for a server.
pub(crate) fn proxy_of_environment(server: &Url) -> Option<Url> {
    web_proxy([server], |name| std::env::var(name).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn proxy(server: &str, variables: &[(&str, &str)]) -> Option<String> {
        let variable =
            |name: &str| variables.iter().find(|(set, _)| *set == name).map(|(_, value)| (*value).to_owned());
        web_proxy([&server.parse().expect("a URL")], variable).map(|url| url.to_string())
    }

    #[test]
    fn the_variables_of_curl_are_known() {
        let relay = "https://relay.example/";
        let expected = Some("http://user:secret@proxy.example:3128/".to_owned());
        for name in ["HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"] {
            assert_eq!(proxy(relay, &[(name, "http://user:secret@proxy.example:3128")]), expected, "{name}");
        }
        assert_eq!(
            proxy(relay, &[("https_proxy", "proxy.example:8080")]).as_deref(),
            Some("http://proxy.example:8080/")
        );
        assert_eq!(proxy(relay, &[("http_proxy", "http://proxy.example")]), None);
        assert_eq!(
            proxy("http://relay.example/", &[("http_proxy", "http://p.example")]).as_deref(),
            Some("http://p.example/")
        );
        assert_eq!(proxy(relay, &[("all_proxy", "socks5://proxy.example")]), None);
        assert_eq!(proxy(relay, &[]), None);
    }

    #[test]
    fn a_server_in_no_proxy_is_reached_without_one() {
        let variables = |no| [("https_proxy", "http://proxy.example"), ("no_proxy", no)];
        for no in ["relay.example", ".example", "*", "other, relay.example"] {
            assert_eq!(proxy("https://relay.example/", &variables(no)), None, "{no}");
        }
        assert_eq!(proxy("https://192.168.1.1/", &variables("192.168.0.0/16")), None);
        assert!(proxy("https://relay.example/", &variables("other.example")).is_some());
    }
}
