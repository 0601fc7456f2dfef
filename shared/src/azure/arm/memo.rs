//! Answers that are the same for all clusters of a run, asked for once.

use super::ArmError;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::Mutex as AsyncMutex;

type Slot<V> = Arc<AsyncMutex<Option<V>>>;

/// Answers by what was asked for. Failures are not kept, nor what is empty: it may be there the next time.
pub(super) struct Memo<V>(Mutex<HashMap<String, Slot<V>>>);

impl<V> Default for Memo<V> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<T: Clone> Memo<Vec<T>> {
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
        if let Some(answer) = &*kept {
            return Ok(answer.clone());
        }
        let answer = ask().await?;
        if !answer.is_empty() {
            *kept = Some(answer.clone());
        }
        Ok(answer)
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
