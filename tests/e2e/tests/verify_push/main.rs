//! The probe's image goes to a real registry without a container engine: refused without a sign-in, complete with one,
//! and nothing is sent twice.

mod tokens;

use e2e::World;
use e2e::registry::Registry;
use serde_json::{Value, json};
use std::path::Path;
use tokens::Tokens;

/// `pusher` with the password `word`, as htpasswd writes it.
const USERS: &str = "pusher:$2y$04$cl/.jFz//kc90qumYXQr4uYK9tu1MItYlxsyVLmRXQKPrleUQ2tj6\n";

/// `pusher:word`, as `docker login` writes it.
const PAIR: &str = "cHVzaGVyOndvcmQ=";
/// What a sign-in leaves behind where it leaves no password.
const REFRESH: &str = "a-token-to-refresh-from";
const REPOSITORY: &str = "tools/wi-probe";
/// What a registry with a place for tokens calls itself there.
const SERVICE: &str = "registry.test";

/// A registry with a certificate of its own, which asks who is there as `auth` says.
fn registry(world: &World, auth: impl FnOnce(&Path) -> Value) -> Registry {
    let folder = world.folder();
    let certified = rcgen::generate_simple_self_signed(vec!["127.0.0.1".to_owned()]).expect("a certificate");
    for (name, text) in [
        ("cert.pem", certified.cert.pem()),
        ("key.pem", certified.signing_key.serialize_pem()),
        ("users", USERS.to_owned()),
    ] {
        std::fs::write(folder.join(name), text).expect("the file can be written");
    }
    Registry::start(
        world,
        json!({"tls": {"certificate": folder.join("cert.pem"), "key": folder.join("key.pem")}}),
        json!({"auth": auth(folder)}),
    )
}

/// The archive of the probe's image, made anew.
fn archive(world: &World) -> String {
    let archive = world.folder().join("wi-probe.tar").display().to_string();
    let program = world.variable("AKS_SANDBOX_PROGRAM");
    world.run(&format!("{program} image {archive}")).expect(0);
    archive
}

/// The command that pushes it.
fn push_command(world: &World, registry: &Registry, archive: &str) -> String {
    format!(
        "kubectl wi image push --archive {archive} {}/{REPOSITORY}:dev --ca-file {} -o json",
        registry.address(),
        world.folder().join("cert.pem").display()
    )
}

/// Signs in to the registry as `docker login` does, or out of it.
fn sign_in(world: &mut World, registry: &Registry, entry: Option<Value>) {
    let docker = world.folder().join("docker");
    std::fs::create_dir_all(&docker).expect("the folder can be made");
    world.set("DOCKER_CONFIG", &docker.display().to_string());
    let auths = entry.map_or_else(|| json!({}), |entry| json!({(registry.address()): entry}));
    let config = json!({"auths": auths}).to_string();
    std::fs::write(docker.join("config.json"), config).expect("the file can be written");
}

#[test]
fn the_image_reaches_a_registry_that_asks_who_is_there() {
    let mut world = World::join();
    let registry = registry(
        &world,
        |folder| json!({"htpasswd": {"realm": "test", "path": folder.join("users")}}),
    );
    let archive = archive(&world);
    let push = push_command(&world, &registry, &archive);
    sign_in(&mut world, &registry, None);
    world.run(&push).expect(1).says("docker login");

    sign_in(&mut world, &registry, Some(json!({"auth": PAIR})));
    let first = world.run(&push).expect(0);
    assert!(!format!("{}{}", first.stdout, first.stderr).contains(PAIR));
    let first = first.json();
    assert_eq!(first["blobsPushed"], 2, "{first:#}");
    let again = world.run(&push).expect(0).json();
    assert_eq!(
        (&again["blobsPushed"], &again["digest"]),
        (&json!(0), &first["digest"])
    );

    // The registry has what the archive has: the manifest under its digest, and both blobs.
    let stored = world.folder().join("images/docker/registry/v2");
    let digest = first["digest"]
        .as_str()
        .and_then(|digest| digest.strip_prefix("sha256:"));
    let digest = digest.expect("a digest is one of sha256");
    let link = stored.join("repositories/tools/wi-probe/_manifests/tags/dev/current/link");
    let tagged = std::fs::read_to_string(link).expect("the tag is there");
    assert_eq!(tagged, format!("sha256:{digest}"));
    let blob = |digest: &str| {
        std::fs::read(stored.join(format!("blobs/sha256/{}/{digest}/data", &digest[..2])))
            .unwrap_or_else(|error| panic!("{digest}: {error}"))
    };
    let manifest: Value = serde_json::from_slice(&blob(digest)).expect("the manifest is JSON");
    let layer = manifest["layers"][0]["digest"]
        .as_str()
        .expect("it names a layer");
    let size = manifest["layers"][0]["size"].as_u64();
    assert_eq!(size, Some(blob(layer.trim_start_matches("sha256:")).len() as u64));
}

#[test]
fn the_image_reaches_a_registry_that_takes_the_tokens_of_another_place() {
    let mut world = World::join();
    let mut place = None;
    let registry = registry(&world, |folder| {
        let tokens = place.insert(Tokens::start(folder));
        json!({"token": {
            "realm": tokens.realm(), "service": SERVICE, "issuer": tokens::ISSUER,
            "rootcertbundle": folder.join("cert.pem"),
        }})
    });
    let tokens = place.expect("the registry was told of it");
    let archive = archive(&world);
    let push = push_command(&world, &registry, &archive);

    // Nobody gets a token that allows nothing; a wrong password gets none.
    sign_in(&mut world, &registry, None);
    world.run(&push).expect(1).says("docker login");
    assert_eq!(tokens.given(), ["nobody"]);
    // pusher:wrong
    sign_in(&mut world, &registry, Some(json!({"auth": "cHVzaGVyOndyb25n"})));
    world.run(&push).expect(1).says("docker login");
    assert!(tokens.given().is_empty());

    let mut digests = Vec::new();
    for (entry, whom, blobs) in [
        (json!({"auth": PAIR}), "pusher", 2),
        (
            json!({"auth": "MDAwMDAwMDA6", "identitytoken": REFRESH}),
            "refreshed",
            0,
        ),
    ] {
        sign_in(&mut world, &registry, Some(entry));
        let pushed = world.run(&push).expect(0);
        for text in [&pushed.stdout, &pushed.stderr] {
            assert!(
                ![PAIR, REFRESH, "eyJ"].iter().any(|secret| text.contains(secret)),
                "{text}"
            );
        }
        let pushed = pushed.json();
        assert_eq!(pushed["blobsPushed"], blobs, "{pushed:#}");
        // One token serves the whole push.
        assert_eq!(tokens.given(), [whom]);
        digests.push(pushed["digest"].clone());
    }
    assert_eq!(digests[0], digests[1]);
}
