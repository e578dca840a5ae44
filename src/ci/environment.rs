//! What GitHub tells a job: its environment variables and the event's payload.
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt;
use std::path::PathBuf;

/// A token for GitHub's API or a git remote; it prints as `***`.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(String);

impl Token {
    /// Takes over a token; an empty one is none.
    #[must_use]
    pub fn new(text: &str) -> Option<Self> {
        let text = text.trim();
        (!text.is_empty()).then(|| Self(text.to_owned()))
    }

    /// The secret itself, for a header and nothing else.
    #[must_use]
    pub fn secret(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// The environment variables of a job that the rules read.
#[derive(Clone, Default)]
pub struct Environment(BTreeMap<String, String>);

impl fmt::Debug for Environment {
    /// Prints the names alone: a value can be a token.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

impl Environment {
    /// Takes the variables that belong to GitHub out of `variables`.
    #[must_use]
    pub fn from_variables(variables: impl IntoIterator<Item = (String, String)>) -> Self {
        let ours = |name: &str| {
            name.starts_with("GITHUB_") || name.starts_with("RUNNER_") || name == "GH_TOKEN"
        };
        Self(variables.into_iter().filter(|(name, _)| ours(name)).collect())
    }

    /// Takes this process's variables.
    #[must_use]
    pub fn of_process() -> Self {
        let text = |(name, value): (OsString, OsString)| {
            Some((name.into_string().ok()?, value.into_string().ok()?))
        };
        Self::from_variables(std::env::vars_os().filter_map(text))
    }

    /// The same variables with `name` set to `value`, or unset.
    #[must_use]
    pub fn with(mut self, name: &str, value: Option<&str>) -> Self {
        match value {
            Some(value) => self.0.insert(name.to_owned(), value.to_owned()),
            None => self.0.remove(name),
        };
        self
    }

    /// A variable's value; an empty one counts as unset, as it does for a runner.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }

    /// The event's name, such as `pull_request`.
    #[must_use]
    pub fn event_name(&self) -> Option<&str> {
        self.get("GITHUB_EVENT_NAME")
    }

    /// The file with the event's payload.
    #[must_use]
    pub fn event_path(&self) -> Option<PathBuf> {
        self.get("GITHUB_EVENT_PATH").map(PathBuf::from)
    }

    /// `owner/name` of the repository that the job runs in.
    #[must_use]
    pub fn repository(&self) -> Option<&str> {
        self.get("GITHUB_REPOSITORY")
    }

    /// Where the REST API is.
    #[must_use]
    pub fn api_url(&self) -> &str {
        self.get("GITHUB_API_URL").unwrap_or("https://api.github.com")
    }

    /// Where people look at repositories and runs.
    #[must_use]
    pub fn server_url(&self) -> &str {
        self.get("GITHUB_SERVER_URL").unwrap_or("https://github.com")
    }

    /// The job's token: `GITHUB_TOKEN`, or `GH_TOKEN` as GitHub's own command line has it.
    #[must_use]
    pub fn token(&self) -> Option<Token> {
        self.get("GITHUB_TOKEN").or_else(|| self.get("GH_TOKEN")).and_then(Token::new)
    }

    /// The number of this run, which orders two runs of one workflow.
    #[must_use]
    pub fn run_id(&self) -> Option<u64> {
        self.get("GITHUB_RUN_ID")?.parse().ok()
    }

    /// Which attempt of the run this is.
    #[must_use]
    pub fn run_attempt(&self) -> Option<u64> {
        self.get("GITHUB_RUN_ATTEMPT")?.parse().ok()
    }

    /// Whether a runner is listening for outputs.
    #[must_use]
    pub fn in_actions(&self) -> bool {
        self.get("GITHUB_OUTPUT").is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_never_prints() {
        let environment = Environment::from_variables([
            ("GITHUB_TOKEN".to_owned(), " ghs_secret \n".to_owned()),
            ("HOME".to_owned(), "/root".to_owned()),
        ]);
        let token = environment.token().expect("a token");
        assert_eq!(token.secret(), "ghs_secret");
        assert_eq!(format!("{token:?}"), "***");
        assert_eq!(format!("{environment:?}"), r#"{"GITHUB_TOKEN"}"#);
        assert_eq!(environment.get("HOME"), None);
    }

    #[test]
    fn an_empty_variable_is_unset() {
        let environment = Environment::from_variables([
            ("GITHUB_TOKEN".to_owned(), String::new()),
            ("GH_TOKEN".to_owned(), "x".to_owned()),
        ]);
        assert_eq!(environment.token(), Token::new("x"));
    }
}
