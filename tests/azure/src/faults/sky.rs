//! The weather of now, and what it does.

use std::collections::HashMap;

use uuid::Uuid;

use super::{Strike, Weather};
use crate::budget::{Budgets, Spent};
use crate::http::Call;
use crate::log::Service;

/// The weather of now, with the dice by which shares are decided: the same sequence under the same seed.
#[derive(Debug)]
pub(crate) struct Sky {
    pub(crate) weather: Weather,
    at_start: Weather,
    /// By the name of the front that decides about them, or of none, and by vault.
    budgets: HashMap<(String, String), Budgets>,
    dice: u64,
}

impl Sky {
    pub(crate) fn new(weather: Weather) -> Self {
        Self {
            at_start: weather.clone(),
            weather,
            budgets: HashMap::new(),
            dice: 0x9e37_79b9_7f4a_7c15,
        }
    }

    /// Back to the seed's weather, with full budgets.
    pub(crate) fn reset(&mut self) {
        self.weather = self.at_start.clone();
        self.budgets.clear();
    }

    /// The delays over something that has these marks: ids, names, paths. Where fronts meet, the last by name rules.
    pub(crate) fn over(&self, marks: &[&str]) -> Weather {
        let mut here = Weather {
            faults: Vec::new(),
            fronts: std::collections::BTreeMap::new(),
            ..self.weather
        };
        for front in self.weather.fronts.values().filter(|front| front.is_over(marks)) {
            front.apply(&mut here);
        }
        here
    }

    /// Counts a request of this caller against the budgets, and says whether it may go on. Each front that decides about
    /// budgets counts apart, and so does each vault.
    pub(crate) fn spend(&mut self, service: Service, call: &Call, caller: Uuid) -> Spent {
        let marks = call.marks();
        let front = self
            .weather
            .fronts
            .iter()
            .rev()
            .find(|(_, front)| front.budgets.is_some() && front.is_over(&marks));
        let (name, enforced) = match front {
            Some((name, front)) => (name.clone(), front.budgets == Some(true)),
            None => (String::new(), self.weather.budgets),
        };
        let vault = if service == Service::Vault {
            marks.first()
        } else {
            None
        };
        let name = (name, vault.copied().unwrap_or_default().to_owned());
        let budgets = self.budgets.entry(name).or_default();
        budgets.spend(service, call, caller, enforced)
    }

    /// Whether something of this share happens now.
    fn happens(&mut self, share: f64) -> bool {
        // xorshift64*: good enough to spread, and always the same.
        self.dice ^= self.dice >> 12;
        self.dice ^= self.dice << 25;
        self.dice ^= self.dice >> 27;
        let high = u32::try_from(self.dice.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 32).unwrap_or_default();
        f64::from(high) / (f64::from(u32::MAX) + 1.0) < share
    }

    /// Whether an exchange with these marks fails although all is well.
    pub(crate) fn strikes_spuriously(&mut self, marks: &[&str]) -> bool {
        let share = self.over(marks).spurious_700213;
        share > 0.0 && self.happens(share)
    }

    /// What happens to a request, if anything.
    pub(crate) fn strike(&mut self, service: Service, call: &Call) -> Option<Strike> {
        let mut matching: Vec<(Option<String>, usize, f64)> = Vec::new();
        for (at, fault) in self.weather.faults.iter().enumerate() {
            if fault.matches(service, call) {
                matching.push((None, at, fault.rate));
            }
        }
        let marks = call.marks();
        for (name, front) in &self.weather.fronts {
            for (at, fault) in front.faults.iter().enumerate() {
                if fault.matches(service, call) && front.is_over(&marks) {
                    matching.push((Some(name.clone()), at, fault.rate));
                }
            }
        }
        let (front, at, _) = matching.into_iter().find(|(.., rate)| self.happens(*rate))?;
        let faults = match front {
            None => &mut self.weather.faults,
            Some(name) => &mut self.weather.fronts.get_mut(&name)?.faults,
        };
        Some(faults.get_mut(at)?.strike(service, call))
    }
}

#[cfg(test)]
mod tests {
    use axum::body::Bytes;
    use axum::http::{HeaderMap, Method};

    use super::super::{Fault, Front};
    use super::*;

    fn call(path: &str) -> Call {
        Call::new(
            0,
            Method::GET,
            (path, ""),
            HeaderMap::new(),
            Bytes::new(),
            [127, 0, 0, 1].into(),
        )
    }

    fn fault(text: &str) -> Fault {
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn a_fault_strikes_what_it_matches_as_often_as_told() {
        let fault =
            fault(r#"{"service": "arm", "path": "/VAULTS/", "status": 429, "retryAfter": 7, "times": 2}"#);
        let mut sky = Sky::new(Weather {
            faults: vec![fault],
            ..Weather::default()
        });
        assert!(sky.strike(Service::Vault, &call("/vaults/x")).is_none());
        assert!(sky.strike(Service::Arm, &call("/clusters/x")).is_none());
        for _ in 0..2 {
            let reply = sky
                .strike(Service::Arm, &call("/a/vaults/x"))
                .unwrap()
                .reply
                .unwrap();
            assert_eq!(
                (reply.status.as_u16(), reply.code.as_deref()),
                (429, Some("TooManyRequests"))
            );
        }
        assert!(sky.strike(Service::Arm, &call("/a/vaults/x")).is_none());
        sky.reset();
        assert!(sky.strike(Service::Arm, &call("/a/vaults/x")).is_some());
    }

    #[test]
    fn shares_are_about_right_and_always_the_same() {
        let count = || {
            let mut sky = Sky::new(Weather {
                spurious_700213: 0.3,
                ..Weather::default()
            });
            (0..1000).filter(|_| sky.strikes_spuriously(&[])).count()
        };
        assert_eq!(count(), count());
        assert!((250..350).contains(&count()), "{}", count());
    }

    fn front(text: &str) -> Weather {
        let front: Front = serde_json::from_str(text).unwrap();
        Weather {
            fronts: [("one".to_owned(), front)].into(),
            ..Weather::default()
        }
    }

    #[test]
    fn a_front_hangs_over_its_place_alone() {
        let mut sky = Sky::new(front(
            r#"{"over": "ID-A", "roleDelayMs": 7, "spurious700213": 1}"#,
        ));
        assert_eq!(sky.over(&["/identities/id-a", "x"]).role_delay_ms, 7);
        assert_eq!(sky.over(&["/identities/id-b"]).role_delay_ms, 0);
        assert!(sky.strikes_spuriously(&["id-a"]) && !sky.strikes_spuriously(&["id-b"]));
    }

    #[test]
    fn a_fault_of_a_front_strikes_those_under_it() {
        let mut sky = Sky::new(front(
            r#"{"over": "client-1", "faults": [{"status": 503, "times": 1}]}"#,
        ));
        let mut strike = |mark: &str| {
            let mut call = call("/x");
            call.marks.push(mark.to_owned());
            sky.strike(Service::Arm, &call).is_some()
        };
        assert_eq!(
            [strike("client-2"), strike("client-1"), strike("client-1")],
            [false, true, false]
        );
    }
}
