//! Where things are, which is the same for all clusters and all rounds of a run, asked for once.

use super::ArmError;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::Mutex as AsyncMutex;

type Slot<T> = Arc<AsyncMutex<Vec<T>>>;

/// Answers by what was asked for. Failures are not kept, nor what is empty: it may be there the next time. Nobody may
/// judge by an answer what changes: that is read anew.
pub(super) struct Memo<T>(Mutex<HashMap<String, Slot<T>>>);

impl<T> Default for Memo<T> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<T: Clone> Memo<T> {
    /// The answer for a key; who asks for the same meanwhile waits for it.
    pub(super) async fn get<F: Future<Output = Result<Vec<T>, ArmError>>>(
        &self,
        key: &str,
        ask: impl FnOnce() -> F,
    ) -> Result<Vec<T>, ArmError> {
        let slot = {
            let mut slots = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(slots.entry(key.to_owned()).or_default())
        };
        let mut kept = slot.lock().await;
        if kept.is_empty() {
            *kept = ask().await?;
        }
        Ok(kept.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;

    #[tokio::test]
    async fn an_answer_is_asked_for_once_unless_it_is_empty() {
        let memo = Memo::default();
        let asked = Cell::new(0);
        let ask = |answer: Vec<u8>| {
            asked.set(asked.get() + 1);
            async { Ok(answer) }
        };
        for answer in [vec![], vec![1], vec![2]] {
            memo.get("a", || ask(answer)).await.unwrap();
        }
        assert_eq!(asked.get(), 2);
        assert_eq!(memo.get("a", || ask(vec![3])).await.unwrap(), [1]);
        assert_eq!(memo.get("b", || ask(vec![3])).await.unwrap(), [3]);
    }
}
