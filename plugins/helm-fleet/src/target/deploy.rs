//! `helm upgrade --install` of one target: the record alone says what came of it.

use super::{Course, Run, release_failure};
use crate::decision::Desired;
use crate::event::{FailureReport, Step};
use crate::executor::Progress;
use crate::fleet::{Fleet, ValuesPolicy};
use crate::helm::{Request, UpgradeRequest, upgrade_arguments};
use crate::plan;
use crate::preflight::Target;
use crate::preflight::render::{redaction, write_overrides};
use crate::recover::mark_failed;
use crate::release::{DIGEST_LABEL, INPUTS_LABEL, REVISION_LABEL, RUN_LABEL, Record, label_of};
use crate::values::keys;
use std::collections::BTreeMap;

impl Run {
    /// Runs helm and believes the release record alone.
    pub(super) async fn upgrade(
        &self,
        target: &Target,
        desired: &Desired,
        progress: &Progress,
        course: &mut Course,
    ) -> Result<Record, FailureReport> {
        let before = target.record.as_ref().map_or(0, |record| record.revision);
        let now = self.unmoved(target, course).await?;
        if let Some(record) = now.filter(Record::is_pending) {
            progress.say(format!(
                "revision {} was left pending by a dead run; marked as failed",
                record.revision
            ));
            let namespace = &self.subject.fleet.release.namespace;
            mark_failed(&record, &target.cluster, namespace)
                .await
                .map_err(|error| release_failure(&error))?;
        }
        let result = self.helm_upgrade(target, desired, progress).await;
        let after = self.latest_after_helm(target, result.as_ref().err()).await;
        // What cannot be read may have changed.
        let revision = after.as_ref().map_or(u32::MAX, |after| {
            after.as_ref().map_or(0, |record| record.revision)
        });
        if revision > before {
            course.change = self.kind_of_change(target);
        }
        let after = after.inspect_err(|_| course.revision = None)?;
        course.revision = after.as_ref().map(|record| record.revision).or(course.revision);
        if let Err(mut failure) = result {
            if let Some(record) = after.filter(|record| record.revision > before) {
                failure
                    .causes
                    .push(format!("revision {} is {}", record.revision, record.status));
            }
            return Err(failure);
        }
        let after =
            after.ok_or_else(|| FailureReport::new(Step::Release, "helm succeeded and left no release"))?;
        if after.revision <= before || !after.is_deployed() || !after.has_digest(&desired.digest) {
            let message = format!(
                "helm succeeded, and yet revision {} is {} and not ours",
                after.revision, after.status
            );
            return Err(FailureReport::new(Step::Release, message));
        }
        Ok(after)
    }

    async fn helm_upgrade(
        &self,
        target: &Target,
        desired: &Desired,
        progress: &Progress,
    ) -> Result<(), FailureReport> {
        let helm = self.helm()?;
        if self.interrupt.is_raised() {
            return Err(FailureReport::new(
                Step::Helm,
                "interrupted before helm was started",
            ));
        }
        let fleet = &self.subject.fleet;
        let overrides = write_overrides(&self.subject.folder, &desired.values.overrides)
            .map_err(|error| FailureReport::of(Step::Helm, &error))?;
        let request = Request {
            release: &fleet.release.name,
            namespace: &fleet.release.namespace,
            chart: &self.subject.chart.path,
            files: &desired.values.files,
            overrides: overrides.path(),
            settings: &fleet.helm,
        };
        let base = target.record.as_ref().map_or(0, |record| record.revision);
        let inputs = plan::inputs(&self.subject, &target.spec);
        let (revision, kept) = ((base + 1).to_string(), kept_labels(fleet, target, desired));
        let mut labels = vec![
            (DIGEST_LABEL, label_of(&desired.digest)),
            (INPUTS_LABEL, label_of(&inputs)),
            (REVISION_LABEL, &revision),
            (RUN_LABEL, &self.subject.run),
        ];
        labels.extend(kept.iter().map(|(label, value)| (label.as_str(), *value)));
        let upgrade = UpgradeRequest {
            context: &target.spec.context,
            create_namespace: fleet.release.create_namespace,
            labels: &labels,
            description: &format!("helm-fleet run={} from={base}", self.subject.run),
        };
        let arguments = upgrade_arguments(helm.version(), &request, &upgrade);
        progress.say(format!("helm {}", if base == 0 { "install" } else { "upgrade" }));
        let redaction = redaction(&desired.values, &target.record);
        let result = helm
            .run(&arguments, self.deadline(), &redaction, &self.interrupt)
            .await;
        match result {
            Ok(_) => Ok(()),
            Err(error) => Err(self.helm_failure(Step::Helm, &error, target, &redaction).await),
        }
    }
}

/// The labels by which the revision tells what it keeps. Where Helm keeps all, what was kept before stays so.
fn kept_labels(fleet: &Fleet, target: &Target, desired: &Desired) -> BTreeMap<String, &'static str> {
    match (&target.record, fleet.helm.values_policy) {
        (Some(record), ValuesPolicy::Reset) => keys::marks(&desired.values.kept, &record.labels),
        _ => BTreeMap::new(),
    }
}
