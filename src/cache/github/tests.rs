//! Tests of how the service is asked.
use std::collections::BTreeMap;

use super::*;

fn entry(attributes: &[(&str, &str)]) -> CacheEntry {
    let owned = attributes.iter().map(|&(name, value)| (name.to_owned(), value.to_owned()));
    CacheEntry { kind: "gha".into(), attributes: owned.collect::<BTreeMap<_, _>>() }
}

#[test]
fn the_service_is_asked_as_the_engine_asks_it() {
    let claims = r#"{"ac":"[{\"Scope\":\"refs/heads/main\",\"Permission\":3}]"}"#;
    let token = format!("x.{}.y", URL_SAFE_NO_PAD.encode(claims));
    let common = [("token", token.as_str()), ("url", "http://h/one/"), ("scope", "ci")];
    let first = Service::of(&entry(&common), true).unwrap();
    assert!(!first.is_second);
    let key = first.index_key(&first.references[0]);
    let request = first.question(&key).unwrap().build().unwrap();
    let version = "693bb7016429d80366022f036f84856888c9f13e00145f5f6f4dce303a38d6f2";
    let asked = format!("cache?keys=index-ci-1-f921bd05&version={version}");
    assert!(request.url().as_str().ends_with(&asked), "{}", request.url());
    let second = entry(&[&common[..], &[("url_v2", "http://h/two/")]].concat());
    let second = Service::of(&second, true).unwrap();
    assert!(second.is_second && second.address.as_str() == "http://h/two/");
    let request = second.question(&key).unwrap().build().unwrap();
    assert_eq!(request.method(), "POST");
    let old = entry(&[("url", "http://h/"), ("url_v2", "http://i/"), ("version", "1")]);
    assert_eq!(address(&old).unwrap().0.as_str(), "http://h/");
    let hosted = entry(&[("url", "https://results-receiver.actions.githubusercontent.com/x/")]);
    assert!(address(&hosted).unwrap().1);
    assert!(references("a.b.c").is_none() && references("").is_none());
}

#[test]
fn what_is_shown_of_a_service_has_no_token() {
    let claims = r#"{"ac":"[{\"Scope\":\"refs/heads/main\",\"Permission\":3}]"}"#;
    let token = format!("x.{}.y", URL_SAFE_NO_PAD.encode(claims));
    let service = Service::of(&entry(&[("token", &token), ("url", "http://h/")]), true).unwrap();
    assert!(!format!("{service:?}").contains(&token));
}

#[tokio::test(start_paused = true)]
async fn a_wait_that_is_asked_for_is_kept_when_there_is_time_for_it() {
    let patience = Patience { attempts: 3, limit: Duration::from_secs(10) };
    for (seconds, answers) in [(4, 3), (60, 1)] {
        let mut asked = 0;
        let refused = patience.keep(|| {
            asked += 1;
            std::future::ready(Err::<(), _>(ServiceError::Refused {
                status: StatusCode::TOO_MANY_REQUESTS,
                retry_after: Some(Duration::from_secs(seconds)),
            }))
        });
        let began = tokio::time::Instant::now();
        assert!(refused.await.is_err());
        assert_eq!(asked, answers, "{seconds}");
        assert!(began.elapsed() <= patience.limit);
    }
}
