//! Which failures are worth another try, and how long to wait before it.

use super::ArmError;
use crate::interrupt::Interrupt;
use backon::ExponentialBuilder;
use std::time::Duration;

/// The longest pause that a service may ask for; beyond it the refusal is told to the user.
const LONGEST_PAUSE: Duration = Duration::from_mins(2);

/// Half a second, doubled up to eight, six tries in all.
pub(super) fn backoff() -> ExponentialBuilder {
    ExponentialBuilder::default()
        .with_min_delay(Duration::from_millis(500))
        .with_max_delay(Duration::from_secs(8))
        .with_max_times(5)
        .with_jitter()
}

/// Tries until there is an answer for good or no pause is left. A command that is asked to stop is ended between two
/// tries, with what the last one answered.
pub(super) async fn until<T, F: Future<Output = Result<T, ArmError>>>(
    stop: &Interrupt,
    mut pauses: impl Iterator<Item = Duration>,
    is_worth_it: impl Fn(&ArmError) -> bool,
    mut attempt: impl FnMut() -> F,
) -> Result<T, ArmError> {
    loop {
        let error = match attempt().await {
            Ok(answer) => return Ok(answer),
            Err(error) => error,
        };
        if !is_worth_it(&error) {
            return Err(error);
        }
        let Some(pause) = adjusted(&error, pauses.next()) else {
            return Err(error);
        };
        tracing::info!(%error, ?pause, "azure request is retried");
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = stop.cancelled() => return Err(ArmError::Stopped { source: Some(Box::new(error)) }),
        }
    }
}

/// All our requests can be sent twice: PUT and DELETE name the resource, and POST only queries.
pub(super) fn is_worth_it(error: &ArmError) -> bool {
    match error {
        ArmError::Connection { source, .. } => !source.is_builder(),
        ArmError::Refused(refusal) => [408, 429, 500, 502, 503, 504].contains(&refusal.status),
        ArmError::Token { .. }
        | ArmError::ForeignLink { .. }
        | ArmError::Shape { .. }
        | ArmError::Stopped { .. }
        | ArmError::Operation { .. }
        | ArmError::Unfinished { .. } => false,
    }
}

/// The pause before the next try: at least what the service asks for; none when it asks for too much.
fn adjusted(error: &ArmError, planned: Option<Duration>) -> Option<Duration> {
    let wanted = error
        .refusal()
        .and_then(|refusal| refusal.retry_after)
        .unwrap_or_default();
    if wanted > LONGEST_PAUSE {
        return None;
    }
    planned.map(|pause| pause.max(wanted))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::azure::arm::Refusal;

    fn refused(status: u16, retry_after: Option<u64>) -> ArmError {
        ArmError::Refused(Box::new(Refusal {
            method: "GET".into(),
            path: "/".into(),
            status,
            code: String::new(),
            message: String::new(),
            request_id: None,
            correlation_id: None,
            retry_after: retry_after.map(Duration::from_secs),
        }))
    }

    #[test]
    fn only_what_may_pass_is_tried_again() {
        for (status, again) in [
            (429, true),
            (503, true),
            (500, true),
            (400, false),
            (403, false),
            (404, false),
            (409, false),
        ] {
            assert_eq!(is_worth_it(&refused(status, None)), again, "{status}");
        }
    }

    #[tokio::test]
    async fn a_stop_ends_it_between_two_tries_and_keeps_the_last_answer() {
        let stop = Interrupt::new();
        let mut tries = 0;
        let pauses = std::iter::repeat(Duration::from_hours(1));
        let ended = until(&stop, pauses, is_worth_it, || {
            tries += 1;
            stop.raise(crate::ExitStatus::Interrupted);
            async { Err::<(), _>(refused(503, None)) }
        });
        let Err(ArmError::Stopped { source: Some(last) }) = ended.await else {
            panic!("it was not stopped");
        };
        assert_eq!((tries, last.refusal().map(|last| last.status)), (1, Some(503)));
    }

    #[test]
    fn the_service_says_how_long_to_wait() {
        let planned = Some(Duration::from_secs(1));
        assert_eq!(
            adjusted(&refused(429, Some(30)), planned),
            Some(Duration::from_secs(30))
        );
        assert_eq!(adjusted(&refused(429, Some(0)), planned), planned);
        assert_eq!(adjusted(&refused(429, Some(3600)), planned), None);
        assert_eq!(adjusted(&refused(429, Some(30)), None), None);
    }
}
