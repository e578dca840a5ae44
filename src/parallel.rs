//! Spreads work over the machine's cores.
//!
//! For work that the system or the processor does and that needs no async runtime: looking at files,
//! reading them, hashing them.
use std::sync::atomic::{AtomicUsize, Ordering};

/// More threads than this wait for the same disk or the same locks of the system.
const THREADS: usize = 8;

/// Does pieces `0..count` of some work on several threads; returns the results in order.
///
/// Each thread has a state of its own, made by `start`. `grain` is how many pieces are worth a thread.
///
/// # Errors
///
/// An error of a piece; the pieces that nobody has begun then are left out.
pub fn spread<S, T, E>(
    count: usize,
    grain: usize,
    start: impl Fn() -> S + Sync,
    work: impl Fn(&mut S, usize) -> Result<T, E> + Sync,
) -> Result<Vec<T>, E>
where
    T: Send,
    E: Send,
{
    let worth = count.div_ceil(grain.max(1));
    // The system is asked for its cores only where there is a use for them: it reads files for that.
    let cores = || std::thread::available_parallelism().map_or(1, usize::from);
    let threads = if worth < 2 { worth } else { cores().min(THREADS).min(worth) };
    if threads < 2 {
        let mut state = start();
        return (0..count).map(|piece| work(&mut state, piece)).collect();
    }
    let next = AtomicUsize::new(0);
    let run = || {
        let mut state = start();
        let mut done = Vec::new();
        loop {
            let piece = next.fetch_add(1, Ordering::Relaxed);
            if piece >= count {
                return Ok(done);
            }
            match work(&mut state, piece) {
                Ok(result) => done.push((piece, result)),
                Err(error) => {
                    next.store(count, Ordering::Relaxed);
                    return Err(error);
                }
            }
        }
    };
    let mut done = std::thread::scope(|scope| {
        let others: Vec<_> = (1..threads).map(|_| scope.spawn(run)).collect();
        let mut done = run();
        for other in others {
            let part = other.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
            match (&mut done, part) {
                (Ok(done), Ok(part)) => done.extend(part),
                (Ok(_), Err(error)) => done = Err(error),
                (Err(_), _) => {}
            }
        }
        done
    })?;
    done.sort_unstable_by_key(|(piece, _)| *piece);
    Ok(done.into_iter().map(|(_, result)| result).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_are_in_order_and_an_error_ends_the_work() {
        let squares = spread(1000, 1, || (), |(), piece| Ok::<_, ()>(piece * piece)).unwrap();
        assert!(squares.iter().enumerate().all(|(piece, square)| piece * piece == *square));
        assert_eq!(squares.len(), 1000);
        let failed =
            spread(1000, 1, || (), |(), piece| if piece == 500 { Err(piece) } else { Ok(()) });
        assert_eq!(failed, Err(500));
        assert_eq!(spread(0, 1, || (), |(), _| Ok::<(), ()>(())), Ok(Vec::new()));
    }
}
