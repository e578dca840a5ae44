use super::*;

fn parse(text: &str) -> Result<Mount, ParseError> {
    Mount::parse(text, &mut |word: &str| Ok::<_, ParseError>(Cow::Borrowed(word)))
}

#[test]
fn reads_every_key() {
    let mount =
        parse("type=cache,from=base,src=/s,dst=/t,id=i,sharing=LOCKED,mode=0755,uid=1,gid=2,ro");
    let expected = Mount {
        kind: MountKind::Cache,
        from: "base".into(),
        source: "/s".into(),
        target: "/t".into(),
        read_only: true,
        id: "i".into(),
        sharing: Some(Sharing::Locked),
        mode: Some(0o755),
        uid: Some(1),
        gid: Some(2),
        ..Mount::default()
    };
    assert_eq!(mount, Ok(expected));
    let tmpfs = parse("type=tmpfs,target=/t,size=1k").unwrap();
    assert_eq!((tmpfs.size, tmpfs.read_only), (1024, false));
    let secret = parse("type=secret,id=s,env=,required").unwrap();
    assert_eq!((secret.env.as_deref(), secret.required), (Some(""), true));
}

#[test]
fn bind_mounts_are_read_only_unless_told() {
    assert!(parse("target=/t").unwrap().read_only);
    assert!(!parse("target=/t,rw").unwrap().read_only);
    assert!(!parse("target=/t,readwrite=true").unwrap().read_only);
    assert!(parse("target=/t,rw=0").unwrap().read_only);
    assert!(!parse("target=/t,ro=false").unwrap().read_only);
}

#[test]
fn refuses_what_does_not_fit() {
    for (text, message) in [
        ("type=bnd", "invalid mount type `bnd` (did you mean bind?)"),
        ("type=bind,size=1", "unexpected key `size` for mount type `bind`"),
        ("required,type=secret", "unexpected key `required` for mount type `bind`"),
        ("type=cache,sharng=x", "unexpected key `sharng` in `sharng=x` (did you mean sharing?)"),
        ("target", "invalid field `target`: it must be a key=value pair"),
        ("type=bind,mode=1", "invalid bind mount: `mode` is not allowed"),
        ("type=secret", "invalid secret mount: one of `id`, `source` and `target` is required"),
        ("type=ssh,sharing=locked", "invalid ssh mount: only a cache mount can define `sharing`"),
        (
            "type=cache,mode=9",
            "invalid value `9` for mode: it is no octal number: invalid digit found in string",
        ),
        ("type=cache,uid=+1", "invalid value `+1` for uid: it has a sign"),
    ] {
        assert_eq!(parse(text).unwrap_err().to_string(), message, "{text}");
    }
}

#[test]
fn only_from_is_read_before_expansion() {
    let spec = MountSpec::parse("type=$T,from=base,FROM=other,bogus=1").unwrap();
    assert_eq!(spec.from, "other");
    assert_eq!(MountSpec::parse("from=$X"), Err(ParseError::VariableInFrom));
    assert_eq!(MountSpec::parse("from=x$").unwrap().from, "x$");
}

#[test]
fn values_are_expanded() {
    fn expand(word: &str) -> Result<Cow<'_, str>, ParseError> {
        Ok(Cow::Owned(word.replace("$T", "tmpfs")))
    }
    let mount = Mount::parse("type=$T,target=/t", &mut expand).unwrap();
    assert_eq!(mount.kind, MountKind::Tmpfs);
}
