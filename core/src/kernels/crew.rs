//! Threads that stay awake between the products of a pass.
//!
//! A pass is a few hundred short products one after the other. Rayon's threads fall asleep between them, and waking one costs as much as a
//! product of a small model. So the thread that runs a pass leads a crew: other threads of its pool, as far as they have nothing else to do, wait
//! for its work without sleeping. Nobody waits for a thread that is busy elsewhere: it finds the crew gone.

use std::cell::RefCell;
use std::panic::{catch_unwind, AssertUnwindSafe};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rayon::prelude::*;

use super::output::Output;

/// Looks for work before the processor is offered to others: some 20 microseconds.
const SPINS: usize = 1000;
/// How long a member waits for work in all before it leaves, or sleeps.
const PATIENCE: Duration = Duration::from_millis(2);
/// Set in [`Crew::gate`] while there is no work.
const CLOSED: usize = 1 << (usize::BITS - 1);

thread_local! {
    static LEADING: RefCell<Option<Arc<Crew>>> = const { RefCell::new(None) };
}

/// What each member calls with numbers that no other member gets.
type Work<'a> = &'a (dyn Fn(usize) + Sync);

struct Crew {
    /// Of work so far.
    number: AtomicUsize,
    /// The work there is, and how often it is to be called. It is only as good as its leader's stack, so it is read behind the gate only.
    work: Mutex<Option<(Work<'static>, usize)>>,
    /// Members behind the gate, and [`CLOSED`].
    gate: AtomicUsize,
    /// For each member the next number of its part that nobody has.
    next: Vec<AtomicUsize>,
    /// The leader's number in its pool.
    leader: usize,
    panicked: AtomicBool,
    /// Cleared by a member that leaves because the leader was away too long.
    complete: AtomicBool,
    over: AtomicBool,
    /// Whether members that have waited too long sleep until there is work, in place of leaving.
    lasting: bool,
    /// Members that sleep, or are about to.
    asleep: AtomicUsize,
    bed: Mutex<()>,
    wake: Condvar,
}

/// Runs `lead`, whose calls of [`for_each`] find threads awake.
pub fn with_crew<R>(lead: impl FnOnce() -> R) -> R {
    lead_crew(false, lead)
}

/// As [`with_crew`], in a pool whose threads have nothing else to do: members stay until `lead` returns. To ask one that has left to come again
/// takes memory each time.
pub fn with_lasting_crew<R>(lead: impl FnOnce() -> R) -> R {
    lead_crew(true, lead)
}

fn lead_crew<R>(lasting: bool, lead: impl FnOnce() -> R) -> R {
    let threads = rayon::current_num_threads();
    let leader = match rayon::current_thread_index() {
        Some(leader) if threads > 1 && LEADING.with_borrow(Option::is_none) => leader,
        _ => return lead(),
    };
    let crew = Arc::new(Crew {
        number: AtomicUsize::new(0),
        work: Mutex::new(None),
        gate: AtomicUsize::new(CLOSED),
        next: (0..threads).map(|_| AtomicUsize::new(0)).collect(),
        leader,
        panicked: AtomicBool::new(false),
        complete: AtomicBool::new(false),
        over: AtomicBool::new(false),
        lasting,
        asleep: AtomicUsize::new(0),
        bed: Mutex::new(()),
        wake: Condvar::new(),
    });
    LEADING.set(Some(Arc::clone(&crew)));
    let _end = End(crew);
    lead()
}

/// Ends a crew, whatever happens.
struct End(Arc<Crew>);

impl Drop for End {
    fn drop(&mut self) {
        self.0.over.store(true, Ordering::SeqCst);
        self.0.rouse();
        LEADING.set(None);
    }
}

/// Calls `work` with each number below `count`, on several threads: the crew's, if this thread leads one, or rayon's.
pub fn for_each(count: usize, work: impl Fn(usize) + Sync) {
    match LEADING.with_borrow(Option::clone) {
        Some(crew) if count > 1 => {
            if !crew.complete.swap(true, Ordering::AcqRel) {
                let joining = Arc::clone(&crew);
                rayon::spawn_broadcast(move |_| joining.help());
            }
            crew.run(count, &work);
        }
        _ if count == 1 => work(0),
        _ => (0..count).into_par_iter().for_each(&work),
    }
}

/// Values from which on rows are shared among threads.
const SHARED_FROM: usize = 1 << 12;

/// Calls `work` with each row of `rows` `[n, width]` and its number, on several threads where that is worth it.
pub fn for_each_row(rows: &mut [f32], width: usize, work: impl Fn(usize, &mut [f32]) + Sync) {
    if rows.len() < SHARED_FROM || width == 0 {
        rows.chunks_mut(width.max(1)).enumerate().for_each(|(i, row)| work(i, row));
        return;
    }
    let count = rows.len() / width;
    // As many tasks as keep threads busy, of neighbouring rows.
    let each = count.div_ceil(4 * rayon::current_num_threads()).max(1);
    let rows = Output::new(rows);
    for_each(count.div_ceil(each), |task| {
        for i in task * each..count.min((task + 1) * each) {
            // SAFETY: no two calls have the same number.
            work(i, unsafe { rows.part(i * width, width) });
        }
    });
}

/// Calls `work` with each of `items` and its number, on several threads.
pub fn for_each_mut<T: Send>(items: &mut [T], work: impl Fn(usize, &mut T) + Sync) {
    let count = items.len();
    let items = Output::new(items);
    for_each(count, |i| {
        // SAFETY: no two calls have the same number.
        if let [item] = unsafe { items.part(i, 1) } {
            work(i, item);
        }
    });
}

impl Crew {
    fn run(&self, count: usize, work: Work<'_>) {
        // SAFETY: only the lifetime changes. The work is called behind the gate only, and this function does not return or unwind before `Shut` has
        // closed the gate and found nobody behind it.
        let work_for_all = unsafe { std::mem::transmute::<Work<'_>, Work<'static>>(work) };
        *self.work.lock().unwrap_or_else(PoisonError::into_inner) = Some((work_for_all, count));
        self.next.iter().for_each(|next| next.store(0, Ordering::Relaxed));
        {
            let _shut = Shut(self);
            self.gate.fetch_and(!CLOSED, Ordering::AcqRel);
            self.number.fetch_add(1, Ordering::SeqCst);
            self.rouse();
            self.take_part(work, count);
        }
        assert!(!self.panicked.swap(false, Ordering::AcqRel), "a thread of the crew panicked");
    }

    /// Calls `work` with the numbers of the member's own part, which follow each other as what they stand for does in memory, and then with what others
    /// have left.
    fn take_part(&self, work: Work<'_>, count: usize) {
        let members = self.next.len();
        let own = rayon::current_thread_index().map_or(0, |index| index + members - self.leader);
        for member in own..own + members {
            let member = member % members;
            let (first, end) = (count * member / members, count * (member + 1) / members);
            let Some(next) = self.next.get(member) else { return };
            // Looked at first, so that the counter of a part that is done stays where it is.
            while next.load(Ordering::Relaxed) < end - first {
                let i = first + next.fetch_add(1, Ordering::Relaxed);
                if i >= end {
                    break;
                }
                work(i);
            }
        }
    }

    /// What a member does until the crew is over or lets it wait too long.
    fn help(&self) {
        if LEADING.with_borrow(Option::is_some) {
            return;
        }
        let mut done = 0;
        while self.wait_for_work(&mut done) {
            // Who sees the gate open keeps it from being shut for good until it leaves.
            if self.gate.fetch_add(1, Ordering::AcqRel) & CLOSED == 0 {
                let work = *self.work.lock().unwrap_or_else(PoisonError::into_inner);
                let helped = catch_unwind(AssertUnwindSafe(|| {
                    if let Some((work, count)) = work {
                        self.take_part(work, count);
                    }
                }));
                if helped.is_err() {
                    self.panicked.store(true, Ordering::Release);
                }
            }
            self.gate.fetch_sub(1, Ordering::AcqRel);
        }
    }

    /// Whether there is new work, after the one of number `done`.
    fn wait_for_work(&self, done: &mut usize) -> bool {
        let mut since = None;
        for look in 0.. {
            if self.over.load(Ordering::Acquire) {
                return false;
            }
            let number = self.number.load(Ordering::Acquire);
            if number != *done {
                *done = number;
                return true;
            }
            if look < SPINS {
                std::hint::spin_loop();
            } else if since.get_or_insert_with(Instant::now).elapsed() > PATIENCE {
                if !self.lasting {
                    self.complete.store(false, Ordering::Release);
                    return false;
                }
                self.sleep(*done);
                since = None;
            } else {
                std::thread::yield_now();
            }
        }
        false
    }

    /// Sleeps until there is work after the one of number `done`, or the crew is over.
    fn sleep(&self, done: usize) {
        let mut bed = self.bed.lock().unwrap_or_else(PoisonError::into_inner);
        self.asleep.fetch_add(1, Ordering::SeqCst);
        // Who begins work counts it first and then looks for sleepers. So it sees this one, or this one sees the work.
        while !self.over.load(Ordering::SeqCst) && self.number.load(Ordering::SeqCst) == done {
            bed = self.wake.wait(bed).unwrap_or_else(PoisonError::into_inner);
        }
        self.asleep.fetch_sub(1, Ordering::SeqCst);
    }

    /// Wakes who sleeps.
    fn rouse(&self) {
        if self.asleep.load(Ordering::SeqCst) > 0 {
            // Behind the lock nobody is between the last look and sleep.
            drop(self.bed.lock().unwrap_or_else(PoisonError::into_inner));
            self.wake.notify_all();
        }
    }
}

/// Shuts the gate and waits for who is behind it.
struct Shut<'a>(&'a Crew);

impl Drop for Shut<'_> {
    fn drop(&mut self) {
        self.0.gate.fetch_or(CLOSED, Ordering::AcqRel);
        let mut looks = 0;
        while self.0.gate.load(Ordering::Acquire) != CLOSED {
            looks += 1;
            if looks < SPINS {
                std::hint::spin_loop();
            } else {
                std::thread::yield_now();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pool(threads: usize) -> rayon::ThreadPool {
        rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap()
    }

    #[test]
    fn every_number_comes_once() {
        for threads in [1, 2, 5] {
            pool(threads).install(|| {
                with_crew(|| {
                    for count in [0, 1, 2, 7, 100, 3].repeat(200) {
                        let calls: Vec<AtomicUsize> = (0..count).map(|_| AtomicUsize::new(0)).collect();
                        with_crew(|| {
                            for_each(count, |i| {
                                calls[i].fetch_add(1, Ordering::Relaxed);
                            });
                        });
                        assert!(calls.iter().all(|calls| calls.load(Ordering::Relaxed) == 1));
                    }
                });
            });
        }
    }

    #[test]
    fn members_that_left_come_back() {
        pool(2).install(|| {
            with_crew(|| {
                for _ in 0..3 {
                    // Only two threads at the same time get past this.
                    let together = std::sync::Barrier::new(2);
                    for_each(2, |_| {
                        together.wait();
                    });
                    std::thread::sleep(5 * PATIENCE);
                }
            });
        });
    }

    #[test]
    fn members_of_a_lasting_crew_sleep_and_wake() {
        let pool = pool(3);
        pool.install(|| {
            with_lasting_crew(|| {
                for round in 0..20 {
                    // Only three threads at the same time get past this, none of which is asked to come again.
                    let together = std::sync::Barrier::new(3);
                    let mut items = [0; 3];
                    for_each_mut(&mut items, |i, item| {
                        together.wait();
                        *item = i;
                    });
                    assert_eq!(items, [0, 1, 2]);
                    std::thread::sleep(PATIENCE * (round % 3));
                }
            });
        });
        // They are free again.
        pool.install(|| with_crew(|| for_each(10, |_| ())));
        assert_eq!(pool.broadcast(|_| ()).len(), 3);
    }

    #[test]
    fn a_lasting_crew_outlives_a_panic() {
        pool(2).install(|| {
            with_lasting_crew(|| {
                for panicking in 0..20 {
                    let outcome =
                        catch_unwind(AssertUnwindSafe(|| for_each(20, |i| assert!(i != panicking, "for the test"))));
                    assert!(outcome.is_err());
                    let sum = AtomicUsize::new(0);
                    for_each(4, |i| {
                        sum.fetch_add(i, Ordering::Relaxed);
                    });
                    assert_eq!(sum.into_inner(), 6);
                }
            });
        });
    }

    #[test]
    fn a_pool_that_is_busy_is_not_waited_for() {
        let pool = pool(2);
        let (free, wait) = std::sync::mpsc::channel::<()>();
        pool.spawn(move || wait.recv().unwrap());
        let sum = AtomicUsize::new(0);
        pool.install(|| {
            with_crew(|| {
                for_each(10, |i| {
                    sum.fetch_add(i, Ordering::Relaxed);
                });
            });
        });
        assert_eq!(sum.into_inner(), 45);
        free.send(()).unwrap();
    }

    #[test]
    fn a_panic_reaches_the_leader_and_the_pool_goes_on() {
        let pool = pool(3);
        for _ in 0..50 {
            let outcome = catch_unwind(AssertUnwindSafe(|| {
                pool.install(|| with_crew(|| for_each(20, |i| assert!(i != 13, "thirteen"))));
            }));
            assert!(outcome.is_err());
        }
        let sum = AtomicUsize::new(0);
        pool.install(|| {
            with_crew(|| {
                for_each(4, |i| {
                    sum.fetch_add(i, Ordering::Relaxed);
                });
            });
        });
        assert_eq!(sum.into_inner(), 6);
    }
}
