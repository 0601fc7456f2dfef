//! The checks of a release that the fleet file names: the chart's own tests, requests, the user's programs.

use crate::event::{FailureReport, Step};
use crate::executor::Progress;
use crate::fleet::{ClusterSpec, CommandSpec, Fleet, HelmTestSpec, HttpSpec};
use crate::helm::process::forget_caller;
use crate::helm::redact::tail;
use crate::helm::{Logs, test_arguments};
use crate::process::{self, Bounds, Ended, Keep, Stop};
use crate::target::{Course, Found, Run};
use crate::values::{ValuesError, render, variables};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use tokio::process::Command;

/// Bound on one request.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);
/// How much of a program's output is kept.
const OUTPUT: Keep = Keep::Last(64 << 10);
/// How many lines of it a failure tells.
const TAIL_LINES: usize = 20;

impl Run {
    /// Makes all checks, one after the other, until one fails.
    pub(crate) async fn verify_steps(
        &self,
        found: &Found,
        revision: u32,
        progress: &Progress,
        course: &mut Course,
    ) -> Result<(), FailureReport> {
        for (index, step) in self.subject.fleet.verify.iter().enumerate() {
            let key = format!("verify[{index}]");
            if self.interrupt.is_raised() {
                return Err(FailureReport::new(
                    Step::Verify,
                    "interrupted before it was verified",
                ));
            }
            if let Some(test) = &step.helm_test {
                progress.say("verify: helm test");
                self.helm_test(found, test).await?;
                course.checks.push("helm test".to_owned());
            }
            if let Some(http) = &step.http {
                let url = self.rendered(found, &format!("{key}.http.url"), &http.url)?;
                progress.say(format!("verify: GET {url}"));
                self.http(http, &url).await?;
                course.checks.push(format!("GET {url}"));
            }
            if let Some(command) = &step.command {
                let words = command
                    .args
                    .iter()
                    .map(|word| self.rendered(found, &format!("{key}.command"), word));
                let words = words.collect::<Result<Vec<String>, _>>()?;
                progress.say(format!("verify: {}", words.first().map_or("", String::as_str)));
                self.command(found, revision, command, &words).await?;
                course.checks.extend(words.into_iter().next());
            }
        }
        Ok(())
    }

    async fn helm_test(&self, found: &Found, test: &HelmTestSpec) -> Result<(), FailureReport> {
        let (fleet, target) = (&self.subject.fleet, &found.target);
        let logs = if test.logs { Logs::Told } else { Logs::Untold };
        let arguments = test_arguments(&fleet.release, &target.spec.context, &fleet.helm, logs);
        let redaction = target.redaction();
        let result = self
            .helm()?
            .run(&arguments, self.deadline(), &redaction, &self.interrupt)
            .await;
        match result {
            Ok(_) => Ok(()),
            Err(error) => Err(self.helm_failure(Step::Verify, &error, target, &redaction).await),
        }
    }

    async fn http(&self, spec: &HttpSpec, url: &str) -> Result<(), FailureReport> {
        let failed = |error: &dyn std::error::Error| FailureReport::of(Step::Verify, error);
        let roots = &self.subject.connection.roots;
        let client = roots
            .open_http_client(REQUEST_TIMEOUT)
            .map_err(|error| failed(&error))?;
        let deadline = Instant::now() + spec.timeout;
        let mut successes = 0;
        loop {
            let answer = tokio::select! {
                answer = client.get(url).send() => answer,
                () = self.interrupt.cancelled() => {
                    return Err(FailureReport::new(Step::Verify, "interrupted while it was verified"));
                }
            };
            let seen = match answer {
                Ok(answer) if answer.status().as_u16() == spec.expect => {
                    successes += 1;
                    if successes >= spec.successes {
                        return Ok(());
                    }
                    None
                }
                Ok(answer) => Some(FailureReport::new(
                    Step::Verify,
                    format!(
                        "GET {url} answers {}, not {}",
                        answer.status().as_u16(),
                        spec.expect
                    ),
                )),
                // Its own text repeats the address with everything in it.
                Err(error) => Some(FailureReport {
                    causes: aks_shared::causes(&error.without_url()),
                    ..FailureReport::new(Step::Verify, format!("GET {url} is not answered"))
                }),
            };
            if let Some(failure) = seen {
                successes = 0;
                if Instant::now() + spec.interval > deadline {
                    return Err(failure);
                }
            }
            tokio::select! {
                () = tokio::time::sleep(spec.interval) => {}
                () = self.interrupt.cancelled() => {}
            }
        }
    }

    async fn command(
        &self,
        found: &Found,
        revision: u32,
        spec: &CommandSpec,
        words: &[String],
    ) -> Result<(), FailureReport> {
        let (subject, target) = (&self.subject, &found.target);
        let name = words.first().map_or("", String::as_str);
        let failed = |what: String| FailureReport::new(Step::Verify, format!("{name} {what}"));
        let kept = subject
            .folder
            .keep_kubeconfig_of(&subject.kubeconfig, &target.spec.context);
        let kubeconfig = kept.map_err(|error| FailureReport::of(Step::Verify, &error))?;
        let release = &subject.fleet.release;
        let mut command = Command::new(program(name, &subject.base));
        forget_caller(&mut command)
            .args(&words[1..])
            .current_dir(&subject.base)
            .env("KUBECONFIG", kubeconfig)
            .env("HELM_FLEET_CLUSTER", &target.spec.name)
            .env("HELM_FLEET_CONTEXT", &target.spec.context)
            .env("HELM_FLEET_NAMESPACE", &release.namespace)
            .env("HELM_FLEET_RELEASE", &release.name)
            .env("HELM_FLEET_REVISION", revision.to_string())
            .env("HELM_FLEET_RUN", &subject.run);
        let (stop, kill) = (self.interrupt.cancelled(), self.interrupt.forced());
        let Ended { output, stopped, .. } =
            process::run(command, Bounds::of(spec.timeout), OUTPUT, stop, kill)
                .await
                .map_err(|error| failed(format!("cannot be run: {error}")))?;
        let what = match stopped {
            None if output.status.success() => return Ok(()),
            None => format!("ended with {}", output.status),
            Some(Stop::Interrupt) => "was stopped by the interruption".to_owned(),
            Some(Stop::Deadline) => format!("was stopped after {} s without an end", spec.timeout.as_secs()),
        };
        let said = [output.stdout, output.stderr].concat();
        let said = tail(&String::from_utf8_lossy(&said), TAIL_LINES);
        Err(FailureReport {
            output: Some(target.redaction().apply(&said)).filter(|text| !text.is_empty()),
            ..failed(what)
        })
    }

    fn rendered(&self, found: &Found, key: &str, text: &str) -> Result<String, FailureReport> {
        let ready = found.ready.as_ref().map_err(Clone::clone)?;
        let identities = Value::Object(ready.variables.clone());
        let variables = variables(&self.subject.fleet, &found.target.spec, &identities);
        render(key, text, &variables).map_err(|error: ValuesError| FailureReport::of(Step::Verify, &error))
    }
}

/// Renders all texts of the checks for a cluster, before anything is touched: what is wrong with them.
pub(crate) fn check_texts(fleet: &Fleet, cluster: &ClusterSpec, identities: &Value) -> Vec<ValuesError> {
    let variables = variables(fleet, cluster, identities);
    let mut problems = Vec::new();
    for (index, step) in fleet.verify.iter().enumerate() {
        if let Some(http) = &step.http {
            problems.extend(render(&format!("verify[{index}].http.url"), &http.url, &variables).err());
        }
        for word in step.command.iter().flat_map(|command| &command.args) {
            problems.extend(render(&format!("verify[{index}].command"), word, &variables).err());
        }
    }
    problems
}

/// A program that is given by a path starts at the fleet file's folder; a bare name is looked for on the path.
fn program(name: &str, base: &Path) -> PathBuf {
    let path = Path::new(name);
    if !name.contains(std::path::is_separator) || path.is_absolute() {
        return path.to_owned();
    }
    std::path::absolute(base.join(path)).unwrap_or_else(|_| base.join(path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_that_names_what_is_not_there_is_found_before_anything_is_touched() {
        let fleet: Fleet = serde_json::from_value(serde_json::json!({
            "apiVersion": "helmfleet/v1alpha1", "kind": "Fleet",
            "release": {"name": "orders", "namespace": "shop"}, "chart": {"ref": "x"},
            "verify": [{"helmTest": {}}, {"http": {"url": "https://{{ cluster.labels.host }}/healthz"}}],
        }))
        .unwrap();
        let cluster = |labels| {
            serde_json::from_value(serde_json::json!({"name": "a", "context": "a", "labels": labels}))
                .unwrap()
        };
        let with = cluster(serde_json::json!({"host": "a.example"}));
        assert!(check_texts(&fleet, &with, &Value::Null).is_empty());
        let problems = check_texts(&fleet, &cluster(serde_json::json!({})), &Value::Null);
        assert_eq!(problems[0].to_string(), "verify[1].http.url");
    }

    #[test]
    fn programs_start_at_the_folder_of_the_file_unless_they_are_on_the_path() {
        let base = Path::new("/fleet");
        for (name, expected) in [
            ("curl", "curl"),
            ("./smoke.sh", "/fleet/./smoke.sh"),
            ("/bin/true", "/bin/true"),
        ] {
            assert_eq!(program(name, base), Path::new(expected), "{name}");
        }
    }
}
