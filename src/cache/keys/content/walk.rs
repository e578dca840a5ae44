//! Content digests of parts with wildcards or patterns: file by file.
use super::{
    ContentError, Digest, Matched, Patterns, Record, Selector, Sha256, Tree, has_wildcards, key_of,
};
use crate::plan::dockerfile::path as paths;
use crate::plan::pattern::matches_name;
use sha2::Digest as _;

/// A file that may count.
struct Candidate {
    path: Vec<u8>,
    digest: Digest,
    is_link: bool,
    included: bool,
    /// Whether it is what was asked for, not something below it.
    top: bool,
    include: Matched,
    exclude: Matched,
}

/// Where a walk begins.
struct Start {
    /// As it was asked for, before any wildcard; empty for the root.
    asked: Vec<u8>,
    /// Where that leads.
    found: Vec<u8>,
    /// Where the walk begins; nowhere if there is no such path.
    key: Option<Vec<u8>>,
}

/// Patterns relative to what is asked for.
struct Filters {
    include: Option<Patterns>,
    exclude: Option<Patterns>,
}

impl Filters {
    fn of(selector: &Selector) -> Result<Self, ContentError> {
        let parse = |texts: &[String]| {
            let parsed = Patterns::parse(texts).map_err(ContentError::Pattern)?;
            Ok((!texts.is_empty()).then_some(parsed))
        };
        Ok(Self { include: parse(&selector.include)?, exclude: parse(&selector.exclude)? })
    }

    /// Whether `candidate` counts, given its directory; notes what matched it.
    fn covers(
        &self,
        relative: &[u8],
        candidate: &mut Candidate,
        above: Option<&Candidate>,
    ) -> bool {
        let none = Matched::default();
        if let Some(include) = &self.include {
            let (hit, own) = include.descend(relative, above.map_or(&none, |dir| &dir.include));
            candidate.include = own;
            if !hit {
                return false;
            }
        }
        if let Some(exclude) = &self.exclude {
            let (hit, own) = exclude.descend(relative, above.map_or(&none, |dir| &dir.exclude));
            candidate.exclude = own;
            return !hit;
        }
        true
    }
}

impl Tree {
    /// The digest of what a selector with wildcards or patterns leaves.
    pub(super) fn filtered(&self, path: &str, selector: &Selector) -> Result<Digest, ContentError> {
        let start = self.start(path, selector.wildcard)?;
        let filters = Filters::of(selector)?;
        let mut found = self.collect(path, selector, &start, &filters);
        for required in &selector.required {
            if !found.iter().any(|file| file.path.starts_with(required.as_bytes())) {
                return Err(ContentError::Missing(required.clone()));
            }
        }
        for file in &mut found {
            if file.top && file.is_link && selector.follow_links {
                let (at, record) = self.resolve(&super::key(&file.path[1..]), true)?;
                let missing = || ContentError::Missing(text(&file.path));
                let record = record.ok_or_else(missing)?;
                file.digest = self.digest_of(&at, record);
            }
        }
        let base = |path: &[u8]| path.rsplit(|byte| *byte == b'/').next().map(<[u8]>::to_vec);
        if let [only] = &found[..]
            && base(&only.path).as_deref() == Some(paths::base(path).as_bytes())
        {
            return Ok(only.digest);
        }
        let mut hash = Sha256::new();
        for file in &found {
            let rest = file.path.strip_prefix(&start.asked[..]).unwrap_or(&file.path);
            let key: Vec<u8> = rest.iter().map(|b| if *b == b'/' { 0 } else { *b }).collect();
            hash.update(if key.is_empty() { &[0][..] } else { &key });
            hash.update(file.digest.to_string());
        }
        Ok(Digest::from_bytes(hash.finalize().into()))
    }

    fn start(&self, path: &str, wildcard: bool) -> Result<Start, ContentError> {
        let elements: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
        let fixed = match wildcard {
            true => elements.iter().take_while(|element| !has_wildcards(element)).count(),
            false => elements.len(),
        };
        if fixed == 0 {
            // The very first record: the root itself.
            return Ok(Start { asked: Vec::new(), found: Vec::new(), key: Some(Vec::new()) });
        }
        let asked = format!("/{}", elements[..fixed].join("/"));
        let (at, record) = self.resolve(&key_of(&asked), wildcard && fixed < elements.len())?;
        let key = record.is_some().then(|| at.clone());
        Ok(Start { asked: asked.into_bytes(), found: path_of(&at), key })
    }

    fn collect(
        &self,
        path: &str,
        selector: &Selector,
        start: &Start,
        filters: &Filters,
    ) -> Vec<Candidate> {
        // The root is the empty path here, and its own header does not count.
        let (path, skips_header) = if path == "/" { ("", true) } else { (path, false) };
        let mut found: Vec<Candidate> = Vec::new();
        let mut headers: Vec<Candidate> = Vec::new();
        let mut last_match: Vec<u8> = Vec::new();
        let mut next = start.key.as_ref().and_then(|key| self.records.get_key_value(key));
        let mut first = true;
        while let Some((key, record)) = next {
            next = if std::mem::take(&mut first) && !key.is_empty() {
                self.first_from(&[key, &[0][..]].concat())
            } else {
                self.first_after(key)
            };
            let mut name = path_of(key);
            if let Some(rest) = name.strip_prefix(&start.found[..]) {
                name = [&start.asked, rest].concat();
            }
            while headers.last().is_some_and(|above| !is_below(&name, &above.path)) {
                headers.pop();
            }
            let is_header = key.last() == Some(&0);
            if is_header {
                name.pop();
                if skips_header && name.is_empty() {
                    continue;
                }
            }
            if selector.wildcard {
                if last_match.is_empty() || !is_below(&name, &last_match) {
                    if !matches_name(path, &name) {
                        continue;
                    }
                    last_match.clone_from(&name);
                }
            } else if name != path.as_bytes() && !is_below(&name, path.as_bytes()) {
                break;
            }
            let from = if selector.wildcard { &last_match } else { path.as_bytes() };
            let relative = name.get(from.len() + 1..).unwrap_or_default().to_vec();
            let mut candidate = Candidate {
                digest: self.digest_of(key, record),
                is_link: matches!(record, Record::Symlink(..)),
                included: false,
                top: headers.is_empty(),
                path: name,
                include: Matched::default(),
                exclude: Matched::default(),
            };
            let covered = filters.covers(&relative, &mut candidate, headers.last());
            if covered && *record != Record::Whole {
                for above in headers.iter_mut().filter(|above| !above.included) {
                    above.included = true;
                    found.push(above.counted());
                }
                candidate.included = true;
                found.push(candidate.counted());
            }
            if is_header {
                headers.push(candidate);
            }
        }
        found
    }
}

impl Candidate {
    /// What of it the digest needs.
    fn counted(&self) -> Self {
        Self {
            path: self.path.clone(),
            include: Matched::default(),
            exclude: Matched::default(),
            ..*self
        }
    }
}

fn is_below(path: &[u8], directory: &[u8]) -> bool {
    path.strip_prefix(directory).is_some_and(|rest| rest.starts_with(b"/"))
}

fn path_of(key: &[u8]) -> Vec<u8> {
    key.iter().map(|byte| if *byte == 0 { b'/' } else { *byte }).collect()
}

fn text(path: &[u8]) -> String {
    String::from_utf8_lossy(path).into_owned()
}
