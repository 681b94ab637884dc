//! One compiled network, shared by threads in turn.

use std::sync::{Condvar, Mutex, PoisonError};

use brainreel_engine::{EngineError, Network, Node, Options, Program};

/// Memory limit of the feature maps in bytes. Larger heads are computed slab by slab.
const MAX_MAPS_BYTES: usize = 1200 << 20;

/// The network, and its program for the most recent grid.
///
/// A program needs a gigabyte of maps and uses all threads itself. So there is only one, and callers wait for
/// it. A thread of rayon's pool must not wait, because the running program may need that thread. It compiles
/// its own program if the shared one is in use.
pub(crate) struct Programs {
    network: Network,
    output: Node,
    idle: Mutex<Slot>,
    freed: Condvar,
}

#[derive(Default)]
struct Slot {
    in_use: bool,
    program: Option<([usize; 3], Program)>,
}

impl Programs {
    pub(crate) fn new(network: Network, output: Node) -> Self {
        Self { network, output, idle: Mutex::default(), freed: Condvar::new() }
    }

    /// Runs the network on an image of `dims`. `progress` receives the next layer and the number of layers.
    pub(crate) fn run(
        &self,
        dims: [usize; 3],
        input: &[f32],
        mut progress: impl FnMut(usize, usize),
    ) -> Result<Vec<f32>, EngineError> {
        let mut turn = self.turn();
        let mut program = match turn.program.take() {
            Some((compiled_for, program)) if compiled_for == dims => program,
            other => {
                drop(other); // its memory first
                self.compile(dims)?
            }
        };
        program.execute(input, |at| {
            progress(at.layer, at.n_layers);
            true
        })?;
        let output = program.output();
        turn.program = Some((dims, program));
        Ok(output)
    }

    fn compile(&self, dims: [usize; 3]) -> Result<Program, EngineError> {
        let options = Options { max_memory_bytes: Some(MAX_MAPS_BYTES), ..Options::default() };
        Program::new(&self.network, self.output, dims, 1, &options)
    }

    /// Waits for the program, or returns without it on a rayon thread.
    fn turn(&self) -> Turn<'_> {
        let may_wait = rayon::current_thread_index().is_none();
        let mut slot = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        while slot.in_use && may_wait {
            slot = self.freed.wait(slot).unwrap_or_else(PoisonError::into_inner);
        }
        if slot.in_use {
            return Turn { programs: None, program: None };
        }
        slot.in_use = true;
        Turn { programs: Some(self), program: slot.program.take() }
    }
}

/// Exclusive access to the program, released on drop, also after an error.
struct Turn<'a> {
    programs: Option<&'a Programs>,
    program: Option<([usize; 3], Program)>,
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        if let Some(programs) = self.programs {
            let mut slot = programs.idle.lock().unwrap_or_else(PoisonError::into_inner);
            *slot = Slot { in_use: false, program: self.program.take() };
            programs.freed.notify_one();
        }
    }
}
