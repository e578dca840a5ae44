//! GitHub's cache service, where the environment names one, behind a forwarder that counts.
use url::Url;

use super::forward::Forwarder;
use super::sample::Traffic;
use crate::attributes;
use crate::oci::secret::Secret;

/// The service that the environment names.
#[derive(Clone, Debug)]
pub struct Service {
    /// The variable that says where it is.
    variable: &'static str,
    url: Url,
    token: Secret,
}

impl Service {
    /// Reads a runner's variables; none when they do not name a service.
    pub fn from_variables(variable: impl Fn(&str) -> Option<String>) -> Option<Self> {
        let variable = |name| variable(name).filter(|value| !value.is_empty());
        let is_second =
            variable("ACTIONS_CACHE_SERVICE_V2").is_some_and(|value| attributes::is_true(&value));
        let name = if is_second { "ACTIONS_RESULTS_URL" } else { "ACTIONS_CACHE_URL" };
        let url = Url::parse(&variable(name)?).ok()?;
        url.host_str()?;
        let token = Secret::new(variable("ACTIONS_RUNTIME_TOKEN")?);
        Some(Self { variable: name, url, token })
    }
}

/// The service as clients find it.
#[derive(Debug)]
pub struct Actions {
    /// The variables of a runner.
    pub variables: Vec<(String, Secret)>,
    forwarder: Option<Forwarder>,
}

impl Actions {
    /// Puts a forwarder before a service that speaks plain HTTP; nobody can listen in on another.
    ///
    /// # Errors
    ///
    /// When the system has no port.
    pub async fn start(service: &Service) -> std::io::Result<Self> {
        let Service { variable, url, token } = service;
        let mut url = url.clone();
        let mut forwarder = None;
        if let ("http", Some(host), Some(port)) =
            (url.scheme(), url.host_str(), url.port_or_known_default())
        {
            let before = Forwarder::start(format!("{host}:{port}")).await?;
            url.set_port(Some(before.port())).map_err(|()| std::io::ErrorKind::InvalidInput)?;
            url.set_host(Some("127.0.0.1")).map_err(std::io::Error::other)?;
            forwarder = Some(before);
        }
        let is_second = *variable == "ACTIONS_RESULTS_URL";
        let variables = [
            (*variable, Secret::new(url)),
            ("ACTIONS_RUNTIME_TOKEN", token.clone()),
            ("ACTIONS_CACHE_SERVICE_V2", Secret::new(is_second.to_string())),
        ];
        let variables = variables.map(|(name, value)| (name.to_owned(), value)).into();
        Ok(Self { variables, forwarder })
    }

    /// What has been sent and received so far, where that could be counted.
    #[must_use]
    pub fn traffic(&self) -> Option<Traffic> {
        self.forwarder.as_ref().map(Forwarder::traffic)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn service(variables: &[(&str, &str)]) -> Option<Service> {
        Service::from_variables(|name| {
            let found = variables.iter().find(|(known, _)| *known == name);
            found.map(|(_, value)| (*value).to_owned())
        })
    }

    #[tokio::test]
    async fn clients_are_sent_to_the_forwarder() {
        let (results, token) =
            (("ACTIONS_RESULTS_URL", "http://127.0.0.1:9/x/"), ("ACTIONS_RUNTIME_TOKEN", "t"));
        assert!(service(&[results, token]).is_none());
        let second = [results, token, ("ACTIONS_CACHE_SERVICE_V2", "True")];
        let actions = Actions::start(&service(&second).unwrap()).await.unwrap();
        let url = actions.variables[0].1.expose();
        assert!(url.starts_with("http://127.0.0.1:") && url.ends_with("/x/"), "{url}");
        assert!(!url.contains(":9/"), "{url}");
        assert_eq!(actions.traffic(), Some(Traffic::default()));
        let encrypted = [("ACTIONS_CACHE_URL", "https://cache.example/"), token];
        let actions = Actions::start(&service(&encrypted).unwrap()).await.unwrap();
        assert_eq!(actions.variables[0].1.expose(), encrypted[0].1);
        assert_eq!(actions.variables[2].1.expose(), "false");
        assert!(actions.traffic().is_none());
        assert!(!format!("{actions:?}").contains("cache.example"));
    }
}
