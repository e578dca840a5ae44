//! The endpoints of the REST API.
use serde_json::{Value, json};

use super::{Comment, REPOSITORY, World};

/// One request.
pub struct Call<'a> {
    pub method: &'a str,
    pub path: &'a str,
    pub query: &'a str,
    pub body: &'a [u8],
}

type Headers = Vec<(&'static str, String)>;
type Answer = (u16, Headers, Value);

/// What a comment may be answered with.
const REACTIONS: [&str; 8] = ["+1", "-1", "laugh", "confused", "heart", "hooray", "rocket", "eyes"];

pub fn answer(world: &mut World, call: &Call<'_>) -> Answer {
    let prefix = format!("/repos/{REPOSITORY}/");
    let Some(rest) = call.path.strip_prefix(&prefix) else { return unknown(world, call) };
    let parts: Vec<&str> = rest.split('/').collect();
    match (call.method, parts.as_slice()) {
        ("GET", ["pulls", number]) => {
            plain(world, call, &[]);
            let pull = number.parse().ok().and_then(|number: u64| world.pulls.get(&number));
            pull.map_or_else(missing, |pull| (200, Vec::new(), pull.clone()))
        }
        ("GET", ["collaborators", user, "permission"]) => {
            plain(world, call, &[]);
            let user = percent_encoding::percent_decode_str(user).decode_utf8_lossy();
            let permission = world.permissions.get(user.as_ref());
            permission.map_or_else(missing, |permission| {
                let user = json!({ "login": user });
                let answer = json!({ "permission": permission, "user": user });
                (200, Vec::new(), answer)
            })
        }
        ("GET", ["issues", number, "comments"]) => {
            plain(world, call, &["per_page", "page"]);
            comments(world, call, number)
        }
        ("POST", ["issues", number, "comments"]) => match text_body(world, call, "body") {
            Some(body) => create(world, number, body),
            None => invalid(),
        },
        ("PATCH", ["issues", "comments", id]) => {
            let Some(body) = text_body(world, call, "body") else { return invalid() };
            let Some(comment) = id.parse().ok().and_then(|id: u64| world.comments.get_mut(&id))
            else {
                return missing();
            };
            comment.body = body;
            let answer = comment_json(id.parse().unwrap_or(0), &comment.clone());
            (200, Vec::new(), answer)
        }
        ("DELETE", ["issues", "comments", id]) => {
            plain(world, call, &[]);
            match id.parse().ok().and_then(|id: u64| world.comments.remove(&id)) {
                Some(_) => (204, Vec::new(), Value::Null),
                None => missing(),
            }
        }
        ("POST", ["issues", "comments", id, "reactions"]) => react(world, call, id),
        ("GET", ["actions", "workflows", workflow, "runs"]) => {
            plain(world, call, &["head_sha", "per_page", "page"]);
            runs(world, call, workflow)
        }
        _ => unknown(world, call),
    }
}

fn comments(world: &mut World, call: &Call<'_>, number: &str) -> Answer {
    let wanted = number.parse().unwrap_or(0);
    let mut list: Vec<Value> = world
        .comments
        .iter()
        .filter(|(_, comment)| comment.number == wanted)
        .map(|(id, comment)| comment_json(*id, comment))
        .collect();
    if world.lag > 0 {
        world.lag -= 1;
        list.pop();
    }
    let (headers, page) = paged(world, call, list);
    (200, headers, Value::Array(page))
}

fn create(world: &mut World, number: &str, body: String) -> Answer {
    world.next_id += 1;
    let number = number.parse().unwrap_or(0);
    let comment = Comment { number, author: "github-actions[bot]".to_owned(), body };
    world.comments.insert(world.next_id, comment.clone());
    (201, Vec::new(), comment_json(world.next_id, &comment))
}

fn react(world: &mut World, call: &Call<'_>, id: &str) -> Answer {
    let Some(content) = text_body(world, call, "content") else { return invalid() };
    if !REACTIONS.contains(&content.as_str()) {
        world.breaches.push(format!("no reaction is called `{content}`"));
        return invalid();
    }
    let reaction = (id.parse().unwrap_or(0), content.clone());
    let known = world.reactions.contains(&reaction);
    if !known {
        world.reactions.push(reaction);
    }
    (if known { 200 } else { 201 }, Vec::new(), json!({ "id": 1, "content": content }))
}

fn runs(world: &mut World, call: &Call<'_>, workflow: &str) -> Answer {
    world.looks += 1;
    let looks = world.looks;
    let Some(mut runs) = world.runs.remove(workflow) else { return missing() };
    if let Some(on_runs) = &mut world.on_runs {
        on_runs(looks, &mut runs);
    }
    world.runs.insert(workflow.to_owned(), runs.clone());
    // As GitHub's index does at times, this one also gives runs that were not asked for.
    let (headers, page) = paged(world, call, runs);
    let answer = json!({ "total_count": page.len(), "workflow_runs": page });
    (200, headers, answer)
}

/// The asked-for page of a list, and the link to the next one.
fn paged(world: &World, call: &Call<'_>, list: Vec<Value>) -> (Headers, Vec<Value>) {
    let asked: usize = parameter(call, "per_page").and_then(|it| it.parse().ok()).unwrap_or(30);
    let page: usize = parameter(call, "page").and_then(|it| it.parse().ok()).unwrap_or(1);
    let size = asked.min(world.page);
    let count = list.len();
    let items: Vec<Value> = list.into_iter().skip((page - 1) * size).take(size).collect();
    let mut headers = Headers::new();
    if page * size < count {
        let query = call.query.split('&').filter(|pair| !pair.starts_with("page="));
        let query = query.collect::<Vec<_>>().join("&");
        let address = format!("{}{}?{query}", world.url, call.path);
        let last = count.div_ceil(size);
        headers.push((
            "link",
            format!(
                "<{address}&page={}>; rel=\"next\", <{address}&page={last}>; rel=\"last\"",
                page + 1
            ),
        ));
    }
    (headers, items)
}

fn parameter<'a>(call: &Call<'a>, name: &str) -> Option<&'a str> {
    call.query.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='))
}

/// A request without a body and with no other parameters than these.
fn plain(world: &mut World, call: &Call<'_>, parameters: &[&str]) {
    if !call.body.is_empty() {
        world.breaches.push(format!("{} {} has a body", call.method, call.path));
    }
    for pair in call.query.split('&').filter(|pair| !pair.is_empty()) {
        let name = pair.split('=').next().unwrap_or(pair);
        if !parameters.contains(&name) {
            world.breaches.push(format!("{} {} takes no `{name}`", call.method, call.path));
        }
    }
}

/// The one field of a JSON body.
fn text_body(world: &mut World, call: &Call<'_>, field: &str) -> Option<String> {
    let value: Option<Value> = serde_json::from_slice(call.body).ok();
    let object = value.as_ref().and_then(Value::as_object);
    let text = object.filter(|object| object.len() == 1).and_then(|object| object.get(field));
    let text = text.and_then(Value::as_str).filter(|text| !text.is_empty());
    if text.is_none() || !call.query.is_empty() {
        world.breaches.push(format!("{} {}: not one `{field}`", call.method, call.path));
    }
    text.map(str::to_owned)
}

fn comment_json(id: u64, comment: &Comment) -> Value {
    json!({
        "id": id,
        "body": comment.body,
        "user": { "login": comment.author },
        "html_url": format!(
            "https://github.com/{REPOSITORY}/pull/{}#issuecomment-{id}",
            comment.number
        ),
    })
}

fn missing() -> Answer {
    (404, Vec::new(), json!({ "message": "Not Found" }))
}

fn invalid() -> Answer {
    (422, Vec::new(), json!({ "message": "Validation Failed" }))
}

fn unknown(world: &mut World, call: &Call<'_>) -> Answer {
    world.breaches.push(format!("no endpoint `{} {}`", call.method, call.path));
    missing()
}
