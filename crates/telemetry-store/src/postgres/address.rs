//! Addresses of databases on a server. A password in one never shows.

use std::fmt;

use thiserror::Error;
use uuid::Uuid;

/// The reason why an address does not name a database on a server. It does not repeat the address, which may hold a
/// password.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Unaddressable {
    /// It begins with something else.
    #[error("the address of a PostgreSQL database begins with `postgres://` or `postgresql://`")]
    Scheme,
    /// A percent sign is not followed by two hexadecimal digits, or they do not stand for UTF-8.
    #[error("the address has a `%` that stands for no character: write a percent sign as %25")]
    Escape,
    /// A parameter has no name, or no value.
    #[error(
        "the address has a parameter without a name or a value: write it like ?sslmode=verify-full"
    )]
    Parameter,
    /// It sets what PgBouncer and others refuse.
    #[error("the address has the parameter `options`, which poolers refuse: leave it out")]
    Options,
    /// It names no database, and libpq would choose one.
    #[error("the address names no database: write postgres://HOST/DATABASE")]
    NoDatabase,
    /// A port is no number, or an `@` comes too late.
    #[error(
        "the address has an `@` or a port in the wrong place: write `/`, `?` and `@` of a password as %2F, %3F and %40"
    )]
    Misplaced,
    /// It has a NUL character.
    #[error("the address has a NUL character: remove it")]
    Nul,
}

/// The address of a database on a server.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Address {
    /// Keywords of libpq and their values.
    parameters: Vec<(String, String)>,
    /// Where it leads, for people.
    shown: String,
}

impl Address {
    /// Parses `postgres://[USER[:PASSWORD]@][HOST[:PORT][,…]][/DATABASE][?KEY=VALUE[&…]]`. What is not given is
    /// libpq's own default.
    pub(crate) fn parse(url: &str) -> Result<Self, Unaddressable> {
        if url.contains('\0') {
            return Err(Unaddressable::Nul);
        }
        let (scheme, rest) = url.trim().split_once("://").ok_or(Unaddressable::Scheme)?;
        let is_known = ["postgres", "postgresql"]
            .iter()
            .any(|it| scheme.eq_ignore_ascii_case(it));
        let rest = Some(rest)
            .filter(|_| is_known)
            .ok_or(Unaddressable::Scheme)?;
        let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (server, database) = rest.split_once('/').unwrap_or((rest, ""));
        if database.contains(['@', '&']) || query.contains('@') {
            return Err(Unaddressable::Misplaced);
        }
        let (user, hosts) = server.rsplit_once('@').unwrap_or(("", server));
        let (hosts, database) = (hosts_of(hosts)?, decoded(database)?);
        let mut address = Self {
            shown: format!("{}/{database}", hosts.shown),
            parameters: hosts.parameters,
        };
        let (user, password) = user.split_once(':').unwrap_or((user, ""));
        address.add("user", decoded(user)?);
        address.add("password", decoded(password)?);
        address.add("dbname", database);
        for parameter in query.split('&').filter(|it| !it.is_empty()) {
            let (key, value) = parameter.split_once('=').ok_or(Unaddressable::Parameter)?;
            let (key, value) = (decoded(key)?, decoded(value)?);
            match key.as_str() {
                "" => return Err(Unaddressable::Parameter),
                "options" => return Err(Unaddressable::Options),
                _ => address.add(&key, value),
            }
        }
        let names_one = ["dbname", "service"].map(|key| !address.given(key).is_empty());
        match names_one.contains(&true) {
            true => Ok(address),
            false => Err(Unaddressable::NoDatabase),
        }
    }

    /// The value of a parameter that counts; empty if there is none.
    fn given(&self, wanted: &str) -> &str {
        let mut all = self.parameters.iter().rev();
        all.find(|(key, _)| key == wanted)
            .map_or("", |(_, value)| value)
    }

    fn add(&mut self, key: &str, value: String) {
        if !value.is_empty() {
            self.parameters.push((key.to_owned(), value));
        }
    }

    /// Returns libpq's form of it, with more parameters where the address has none of that name.
    pub(crate) fn keywords(&self, more: &[(&str, &str)]) -> String {
        let is_given = |key: &str| self.parameters.iter().any(|(given, _)| given == key);
        let more = more.iter().filter(|(key, _)| !is_given(key));
        let more = more.map(|(key, value)| (*key, *value));
        let given = self.parameters.iter();
        let given = given.map(|(key, value)| (key.as_str(), value.as_str()));
        let quoted = given.chain(more).map(|(key, value)| {
            let value = value.replace('\\', "\\\\").replace('\'', "\\'");
            format!("{key}='{value}'")
        });
        quoted.collect::<Vec<_>>().join(" ")
    }

    /// Returns a name for files that belong to this database on this machine: another one for each database. What the
    /// address leaves open is libpq's default, which its environment may name.
    pub(crate) fn file_name(&self) -> String {
        self.file_name_in(|variable| std::env::var(variable).ok())
    }

    fn file_name_in(&self, variable: impl Fn(&str) -> Option<String>) -> String {
        const BYTES_MAX: usize = 200;
        let parts = [
            ("host", "PGHOST", ""),
            ("port", "PGPORT", "5432"),
            ("dbname", "PGDATABASE", ""),
        ];
        let of_environment = variable("PGSERVICE").unwrap_or_default();
        let service = plain(match self.given("service") {
            "" => &of_environment,
            given => given,
        });
        let parts = parts.map(|(key, of_libpq, usual)| match self.given(key) {
            "" if service.is_empty() => {
                plain(&variable(of_libpq).unwrap_or_else(|| usual.to_owned()))
            }
            "" => service.clone(),
            given => plain(given),
        });
        let name = format!("pg-{}", parts.join("-"));
        if name.len() <= BYTES_MAX {
            return name;
        }
        // Names that begin alike are told apart by all of them.
        let digest = Uuid::new_v5(&Uuid::NAMESPACE_URL, name.as_bytes());
        format!("{}-{}", &name[..BYTES_MAX / 2], digest.simple())
    }

    /// Returns a text without the password, should the server or libpq repeat it.
    pub(crate) fn without_password(&self, text: &str) -> String {
        let secrets = self
            .parameters
            .iter()
            .filter(|(key, _)| key.ends_with("password"));
        let hidden =
            |text: String, (_, secret): &(String, String)| text.replace(secret.as_str(), "***");
        secrets.fold(text.to_owned(), hidden)
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown)
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Letters and digits as they are, and everything else by its code.
fn plain(text: &str) -> String {
    let is_plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'.';
    let parts = text.bytes().map(|byte| match is_plain(byte) {
        true => char::from(byte).to_string(),
        false => format!("_{byte:02x}"),
    });
    parts.collect()
}

/// Hosts and ports.
struct Hosts {
    parameters: Vec<(String, String)>,
    shown: String,
}

fn hosts_of(text: &str) -> Result<Hosts, Unaddressable> {
    let (mut hosts, mut ports) = (Vec::new(), Vec::new());
    for one in text.split(',') {
        let (host, port) = match one.rsplit_once(':') {
            // The colons of an address in brackets are its own.
            Some((host, port)) if !port.contains(']') => (host, port),
            _ => (one, ""),
        };
        if !port.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(Unaddressable::Misplaced);
        }
        hosts.push(decoded(host.trim_matches(['[', ']']))?);
        ports.push(port.to_owned());
    }
    let mut parameters = Vec::new();
    for (key, values) in [("host", &hosts), ("port", &ports)] {
        if values.iter().any(|value| !value.is_empty()) {
            parameters.push((key.to_owned(), values.join(",")));
        }
    }
    let shown = match text.is_empty() {
        true => "PostgreSQL".to_owned(),
        false => decoded(text)?,
    };
    Ok(Hosts { parameters, shown })
}

/// Replaces what is written as `%20`.
fn decoded(text: &str) -> Result<String, Unaddressable> {
    let (mut bytes, mut rest) = (Vec::with_capacity(text.len()), text.as_bytes());
    while let Some((byte, after)) = rest.split_first() {
        rest = after;
        if *byte != b'%' {
            bytes.push(*byte);
            continue;
        }
        let (digits, after) = after.split_at_checked(2).ok_or(Unaddressable::Escape)?;
        rest = after;
        let digit = |digit: u8| char::from(digit).to_digit(16).ok_or(Unaddressable::Escape);
        let code = digit(digits[0])? * 16 + digit(digits[1])?;
        match u8::try_from(code) {
            Ok(0) => return Err(Unaddressable::Nul),
            Ok(code) => bytes.push(code),
            Err(_) => return Err(Unaddressable::Escape),
        }
    }
    String::from_utf8(bytes).map_err(|_| Unaddressable::Escape)
}

#[cfg(test)]
mod tests;
