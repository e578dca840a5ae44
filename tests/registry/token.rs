//! A real registry that asks for tokens, and the token server it trusts.
//!
//! Debian's registry checks the tokens itself: ES256 signatures by a key whose certificate it was
//! given, audience, times and scopes. The server here hands them out as the distribution project's
//! token specification has it, and refuses whatever the specification does not allow.
use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use rcgen::{CertificateParams, KeyPair, PKCS_ECDSA_P256_SHA256, SigningKey as _};
use serde_json::json;

use crate::support::registry::{self, Registry};

pub const SERVICE: &str = "test-registry";
pub const USER: &str = "kit";
pub const PASSWORD: &str = "wri:ght";
pub const REFRESH_TOKEN: &str = "refresh-me";

/// What a token server was asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    pub method: String,
    /// `anonymous`, `password` or `refresh_token`.
    pub by: String,
    pub scopes: Vec<String>,
}

/// How the next tokens are.
#[derive(Clone, Copy, Debug)]
pub struct Lives {
    /// Seconds from now to the `exp` that the registry checks.
    pub real: i64,
    /// The `expires_in` that the client is told.
    pub told: i64,
}

#[derive(Clone)]
pub struct TokenServer {
    pub realm: String,
    pub asked: Arc<Mutex<Vec<Asked>>>,
    pub lives: Arc<Mutex<Lives>>,
    /// Error statuses to give before the next token.
    pub failures: Arc<Mutex<Vec<u16>>>,
    key: Arc<KeyPair>,
    certificate: String,
}

/// Starts a token server and a registry that trusts it.
pub fn start() -> Option<(Registry, TokenServer)> {
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).expect("a key");
    let params = CertificateParams::new(vec!["token.test".to_owned()]).expect("parameters");
    let certificate = params.self_signed(&key).expect("a certificate");
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let realm = format!("http://{}/token", listener.local_addr().expect("an address"));
    let server = TokenServer {
        realm: realm.clone(),
        asked: Arc::default(),
        lives: Arc::new(Mutex::new(Lives { real: 300, told: 300 })),
        failures: Arc::default(),
        key: Arc::new(key),
        certificate: STANDARD.encode(certificate.der()),
    };
    std::thread::spawn({
        let server = server.clone();
        move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let server = server.clone();
                std::thread::spawn(move || server.serve(stream));
            }
        }
    });
    let folder = crate::support::watched::shared_folder();
    let bundle = folder.join(format!("token-{}.pem", server.realm.replace(['/', ':'], "-")));
    std::fs::write(&bundle, certificate.pem()).expect("a written certificate");
    let registry = registry::start_with(&format!(
        "auth:\n  token:\n    realm: {realm}\n    service: {SERVICE}\n    issuer: test-issuer\n    \
         rootcertbundle: {}\n",
        bundle.display()
    ))?;
    Some((registry, server))
}

impl TokenServer {
    pub fn asked(&self) -> Vec<Asked> {
        self.asked.lock().expect("no handler died").clone()
    }

    pub fn set_lives(&self, real: i64, told: i64) {
        *self.lives.lock().expect("no handler died") = Lives { real, told };
    }

    fn serve(&self, stream: TcpStream) {
        let mut reader = BufReader::new(stream);
        let mut line = String::new();
        reader.read_line(&mut line).expect("a request line");
        let mut words = line.split_whitespace();
        let (method, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        let mut headers = BTreeMap::new();
        loop {
            let mut line = String::new();
            if reader.read_line(&mut line).unwrap_or(0) == 0 || line == "\r\n" {
                break;
            }
            if let Some((name, value)) = line.split_once(':') {
                headers.insert(name.to_ascii_lowercase(), value.trim().to_owned());
            }
        }
        let length = headers.get("content-length").and_then(|text| text.parse().ok()).unwrap_or(0);
        let mut body = vec![0; length];
        reader.read_exact(&mut body).expect("a body");
        let (status, body) = self.answer(method, target, &headers, &body);
        let mut stream = reader.into_inner();
        let head = format!(
            "HTTP/1.1 {status} Answer\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
            body.len()
        );
        let _ = stream.write_all(head.as_bytes());
    }

    fn answer(
        &self,
        method: &str,
        target: &str,
        headers: &BTreeMap<String, String>,
        body: &[u8],
    ) -> (u16, String) {
        let url = url::Url::parse(&format!("http://token{target}")).expect("a URL");
        let pairs: Vec<(String, String)> = match method {
            "POST" => url::form_urlencoded::parse(body).into_owned().collect(),
            _ => url.query_pairs().into_owned().collect(),
        };
        let get = |name: &str| pairs.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str());
        let scopes: Vec<String> = pairs
            .iter()
            .filter(|(name, _)| name == "scope")
            .flat_map(|(_, value)| value.split(' ').map(str::to_owned))
            .filter(|scope| !scope.is_empty())
            .collect();
        let authorization = headers.get("authorization").cloned();
        let basic = format!("Basic {}", STANDARD.encode(format!("{USER}:{PASSWORD}")));
        let refused =
            |why: &str| (401, json!({"errors":[{"code":"DENIED","message":why}]}).to_string());
        let by = match (method, authorization) {
            ("GET", None) => "anonymous",
            ("GET", Some(shown)) if shown == basic => "password",
            ("POST", None) if get("grant_type") == Some("refresh_token") => {
                if get("refresh_token") != Some(REFRESH_TOKEN) || get("client_id").is_none() {
                    return refused("another refresh token");
                }
                "refresh_token"
            }
            _ => return refused("wrong credentials"),
        };
        let asked = Asked { method: method.to_owned(), by: by.to_owned(), scopes: scopes.clone() };
        self.asked.lock().expect("no handler died").push(asked);
        if let Some(status) = self.failures.lock().expect("no handler died").pop() {
            return (status, "not now".to_owned());
        }
        if url.path() != "/token" || get("service") != Some(SERVICE) {
            return (400, "another service".to_owned());
        }
        let lives = *self.lives.lock().expect("no handler died");
        let token = self.token(&scopes, by, lives.real);
        let name = if method == "POST" { "access_token" } else { "token" };
        (200, json!({ name: token, "expires_in": lives.told }).to_string())
    }

    /// Strangers may read what lies under `public/`; the user may do all but delete.
    fn granted(scope: &str, by: &str) -> Option<serde_json::Value> {
        let (resource, actions) = scope.rsplit_once(':')?;
        let (kind, name) = resource.split_once(':')?;
        let allowed: Vec<&str> = actions
            .split(',')
            .filter(|action| match by {
                "anonymous" => name.starts_with("public/") && *action == "pull",
                _ => matches!(*action, "pull" | "push"),
            })
            .collect();
        (!allowed.is_empty()).then(|| json!({"type": kind, "name": name, "actions": allowed}))
    }

    pub fn token(&self, scopes: &[String], by: &str, life: i64) -> String {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs();
        let now = i64::try_from(now).expect("a time");
        let access: Vec<_> = scopes.iter().filter_map(|scope| Self::granted(scope, by)).collect();
        let header = json!({"typ": "JWT", "alg": "ES256", "x5c": [self.certificate]});
        let claims = json!({
            "iss": "test-issuer", "sub": by, "aud": SERVICE, "exp": now + life,
            "nbf": now - 3600, "iat": now - 3600, "jti": format!("{now}"), "access": access,
        });
        let encode = |text: String| URL_SAFE_NO_PAD.encode(text);
        let signed = format!("{}.{}", encode(header.to_string()), encode(claims.to_string()));
        let signature = self.key.sign(signed.as_bytes()).expect("a signature");
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(raw_signature(&signature)))
    }
}

/// ECDSA signatures are DER in X.509 and two plain numbers in JSON web tokens.
fn raw_signature(der: &[u8]) -> Vec<u8> {
    let number = |at: usize| {
        let length = usize::from(der[at + 1]);
        (&der[at + 2..at + 2 + length], at + 2 + length)
    };
    let (r, next) = number(2);
    let (s, _) = number(next);
    let mut raw = Vec::new();
    for part in [r, s] {
        let digits = &part[part.len().saturating_sub(32)..];
        raw.extend(std::iter::repeat_n(0, 32 - digits.len()));
        raw.extend_from_slice(digits);
    }
    raw
}
