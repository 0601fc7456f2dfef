//! The plugins as they are installed: by krew from an archive, by Helm 3 and Helm 4 from the plugin's folder, by kubectl
//! from the PATH.

use e2e::{World, repository};
use std::fs;
use std::path::PathBuf;

/// Helm's homes below a folder of the test's own.
fn fresh_helm(world: &mut World, name: &str) -> PathBuf {
    let homes = world.folder().join(name);
    for (variable, folder) in [
        ("HELM_CONFIG_HOME", "config"),
        ("HELM_CACHE_HOME", "cache"),
        ("HELM_DATA_HOME", "data"),
        // Below the data: Helm 4 installs there whatever this says.
        ("HELM_PLUGINS", "data/plugins"),
    ] {
        world.set(variable, &homes.join(folder).display().to_string());
    }
    fs::create_dir_all(homes.join("data/plugins")).expect("the test's folder can be written to");
    homes
}

/// The helm plugin's folder as a user has it after `helm-plugin/install.sh` has put the binary in.
fn plugin_folder(world: &World) -> PathBuf {
    let folder = world.copy_in(&repository().join("helm-plugin"), "fleet");
    fs::create_dir_all(folder.join("bin")).expect("the copy can be written to");
    fs::copy(world.find("helm-fleet"), folder.join("bin/helm-fleet")).expect("helm-fleet can be copied");
    folder
}

/// Both helms that the sandbox built.
fn helms(world: &World) -> [(&'static str, PathBuf); 2] {
    let state = world.state();
    [
        ("helm3", state.join("helm3/bin/helm")),
        ("helm4", state.join("helm4/bin/helm")),
    ]
}

#[test]
fn helm_3_and_helm_4_install_and_run_the_plugin() {
    let mut world = World::join();
    let plugin = plugin_folder(&world);
    for (name, helm) in helms(&world) {
        let helm = helm.display().to_string();
        let version = world
            .run(&format!("{helm} version --template {{{{.Version}}}}"))
            .expect(0)
            .stdout;
        assert!(
            version.starts_with(&name.replace("helm", "v")),
            "{name} is {version}"
        );
        fresh_helm(&mut world, name);
        world
            .run(&format!("{helm} plugin install {}", plugin.display()))
            .expect(0);
        world.run(&format!("{helm} plugin list")).expect(0).says("fleet");
        world
            .run(&format!("{helm} fleet --help"))
            .expect(0)
            .says("upgrade");
        // The exit code passes through helm.
        world
            .run(&format!("{helm} fleet upgrade -f absent.yaml --yes"))
            .expect(64)
            .says("absent.yaml");
    }
}

#[test]
fn kubectl_runs_the_commands_from_the_path() {
    let world = World::join();
    world.run("kubectl wi --help").expect(0).says("kubectl wi");
    for command in ["setup", "verify"] {
        let through = world.run(&format!("kubectl wi {command} --help")).expect(0);
        let direct = world.run(&format!("kubectl-wi-{command} --help")).expect(0);
        assert_eq!(through.stdout, direct.stdout);
        assert!(through.stdout.contains("--service-account"), "{}", through.stdout);
        world
            .run(&format!("kubectl wi {command} --no-such-flag"))
            .expect(64);
    }
}

#[test]
fn krew_installs_what_the_manifest_describes() {
    let mut world = World::join();
    let folder = world.folder().to_owned();
    let flat = folder.join("flat");
    fs::create_dir_all(&flat).expect("the test's folder can be written to");
    fs::copy(world.find("kubectl-wi"), flat.join("kubectl-wi")).expect("kubectl-wi can be copied");
    fs::copy(repository().join("LICENSE"), flat.join("LICENSE")).expect("the licence can be copied");
    let archive = folder.join("kubectl-wi.tar.gz").display().to_string();
    world
        .run_words(&[
            "tar",
            "-czf",
            &archive,
            "-C",
            &flat.display().to_string(),
            "kubectl-wi",
            "LICENSE",
        ])
        .expect(0);
    let digest = world.run(&format!("sha256sum {archive}")).expect(0).stdout;
    let manifest = folder.join("wi.yaml");
    fs::write(
        &manifest,
        render_manifest(digest.split(' ').next().unwrap_or_default()),
    )
    .expect("it can be written");
    world.set("KREW_ROOT", &folder.join("krew").display().to_string());
    let krew = world.variable("AKS_SANDBOX_KREW").to_owned();
    world
        .run(&format!(
            "{krew} install --manifest={} --archive={archive}",
            manifest.display()
        ))
        .expect(0);
    let installed = folder.join("krew/bin/kubectl-wi").display().to_string();
    world
        .run(&format!("{installed} --version"))
        .expect(0)
        .says(env!("CARGO_PKG_VERSION"));
}

/// The release's template filled in for this machine's platform alone.
fn render_manifest(sha256: &str) -> String {
    let template = fs::read_to_string(repository().join("krew/wi.yaml.tmpl")).expect("the template is there");
    let (head, rest) = template
        .split_once("{%- for platform in platforms %}")
        .expect("it loops over platforms");
    let (entry, _) = rest.split_once("{%- endfor %}").expect("the loop ends");
    let version = concat!("v", env!("CARGO_PKG_VERSION"));
    let mut text = format!("{}{}", head.trim_end(), entry.trim_end());
    for (variable, value) in [
        ("{{ version }}", version),
        ("{{ homepage }}", "https://example.invalid/kubectl-wi"),
        ("{{ platform.os }}", "linux"),
        ("{{ platform.arch }}", "amd64"),
        ("{{ platform.uri }}", "https://example.invalid/kubectl-wi.tar.gz"),
        ("{{ platform.sha256 }}", sha256),
        ("{{ \".exe\" if platform.os == \"windows\" else \"\" }}", ""),
    ] {
        text = text.replace(variable, value);
    }
    assert!(
        !text.contains("{{"),
        "the manifest has a variable that this test does not know:\n{text}"
    );
    text + "\n"
}
