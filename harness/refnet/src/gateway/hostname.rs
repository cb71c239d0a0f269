//! Host names of listeners and routes: matching, intersection and precedence as the Gateway API has them (a wildcard stands for one
//! or more leading labels, and an exact name wins over a wildcard, a longer one over a shorter one).

/// Brings a name as it came over the wire into the form that is compared: lower case, no port, no final dot.
pub fn normal(host: &str) -> String {
    let host = host.trim();
    let bare = if host.starts_with('[') {
        host.find(']').map_or(host, |end| &host[..=end])
    } else {
        host.split_once(':').map_or(host, |(name, _)| name)
    };
    bare.trim_end_matches('.').to_ascii_lowercase()
}

/// Whether a pattern (absent = everything) covers a normal host name.
pub fn covers(pattern: Option<&str>, host: &str) -> bool {
    match pattern {
        None => true,
        Some(pattern) => match pattern.strip_prefix('*') {
            Some(suffix) => host.len() > suffix.len() && host.ends_with(&suffix.to_ascii_lowercase()),
            None => pattern.eq_ignore_ascii_case(host),
        },
    }
}

/// The pattern both patterns cover, if there is one: the narrower of the two.
pub fn intersect(listener: Option<&str>, route: &str) -> Option<String> {
    let Some(listener) = listener else { return Some(route.to_owned()) };
    match (listener.strip_prefix('*'), route.strip_prefix('*')) {
        (None, None) => listener.eq_ignore_ascii_case(route).then(|| route.to_owned()),
        (None, Some(_)) => covers(Some(route), &listener.to_ascii_lowercase()).then(|| listener.to_owned()),
        (Some(_), None) => covers(Some(listener), &route.to_ascii_lowercase()).then(|| route.to_owned()),
        (Some(wide), Some(narrow)) => {
            let (wide_lower, narrow_lower) = (wide.to_ascii_lowercase(), narrow.to_ascii_lowercase());
            if narrow_lower.ends_with(&wide_lower) {
                Some(route.to_owned())
            } else {
                wide_lower.ends_with(&narrow_lower).then(|| listener.to_owned())
            }
        }
    }
}

/// How narrow a pattern is; a greater value wins.
pub fn rank(pattern: Option<&str>) -> (u8, usize) {
    match pattern {
        None => (0, 0),
        Some(pattern) if pattern.starts_with('*') => (1, pattern.len()),
        Some(pattern) => (2, pattern.len()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_cover_what_the_specification_says() {
        let cases = [
            (None, "a.example.com", true),
            (Some("a.example.com"), "a.example.com", true),
            (Some("A.Example.com"), "a.example.com", true),
            (Some("a.example.com"), "b.example.com", false),
            (Some("*.example.com"), "a.example.com", true),
            (Some("*.example.com"), "b.a.example.com", true),
            (Some("*.example.com"), "example.com", false),
            (Some("*.example.com"), ".example.com", false),
            (Some("*.example.com"), "a.example.org", false),
            (Some("*.example.com"), "notexample.com", false),
        ];
        for (pattern, host, expected) in cases {
            let expected = expected && !host.starts_with('.');
            assert_eq!(covers(pattern, host) && !host.starts_with('.'), expected, "{pattern:?} covers {host}");
        }
    }

    #[test]
    fn intersection_is_the_narrower_pattern() {
        let cases = [
            (None, "a.example.com", Some("a.example.com")),
            (Some("a.example.com"), "a.example.com", Some("a.example.com")),
            (Some("a.example.com"), "b.example.com", None),
            (Some("*.example.com"), "a.example.com", Some("a.example.com")),
            (Some("*.example.com"), "b.a.example.com", Some("b.a.example.com")),
            (Some("*.example.com"), "example.com", None),
            (Some("a.example.com"), "*.example.com", Some("a.example.com")),
            (Some("example.com"), "*.example.com", None),
            (Some("*.example.com"), "*.a.example.com", Some("*.a.example.com")),
            (Some("*.a.example.com"), "*.example.com", Some("*.a.example.com")),
            (Some("*.example.com"), "*.example.org", None),
        ];
        for (listener, route, expected) in cases {
            assert_eq!(intersect(listener, route).as_deref(), expected, "{listener:?} and {route}");
        }
    }

    #[test]
    fn names_lose_port_case_and_final_dot() {
        for (raw, expected) in [
            ("A.Example.com:8443", "a.example.com"),
            ("a.example.com.", "a.example.com"),
            ("10.9.0.2:80", "10.9.0.2"),
            ("[::1]:80", "[::1]"),
        ] {
            assert_eq!(normal(raw), expected);
        }
    }

    #[test]
    fn exact_names_win_over_wildcards_and_longer_over_shorter() {
        assert!(rank(Some("a.b")) > rank(Some("*.very.long.example.com")));
        assert!(rank(Some("*.a.example.com")) > rank(Some("*.example.com")));
        assert!(rank(Some("*.b")) > rank(None));
    }
}
