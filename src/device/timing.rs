//! Time on the device: timestamps around each dispatch where the adapter has them.

use super::dispatch::{Dispatch, encode};
use super::{Buffer, Gpu};
use crate::base::{Error, Result};

impl Gpu {
    /// Runs `list`, each dispatch in a pass of its own between two timestamps, and returns milliseconds per dispatch.
    /// Separate passes cost a little; the sum is an upper bound of a plain run.
    pub fn time_each(&self, list: &[Dispatch]) -> Result<Vec<f64>> {
        let Some(period_ns) = self.timestamp_period_ns else {
            return Err(Error::Failed(format!("{} has no timestamp queries", self.adapter().name)));
        };
        let mut ms = Vec::with_capacity(list.len());
        for chunk in list.chunks(256) {
            let count = 2 * chunk.len() as u32;
            let queries = self.device.create_query_set(&wgpu::QuerySetDescriptor {
                label: Some("timing"),
                ty: wgpu::QueryType::Timestamp,
                count,
            });
            let usage = wgpu::BufferUsages::QUERY_RESOLVE | wgpu::BufferUsages::COPY_SRC;
            let resolved = self.raw_buffer("timestamps", 8 * count as u64, usage)?;
            let mut encoder = self.device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
            for (i, d) in chunk.iter().enumerate() {
                let writes = wgpu::ComputePassTimestampWrites {
                    query_set: &queries,
                    beginning_of_pass_write_index: Some(2 * i as u32),
                    end_of_pass_write_index: Some(2 * i as u32 + 1),
                };
                encode(&mut encoder, std::slice::from_ref(d), Some(writes));
            }
            encoder.resolve_query_set(&queries, 0..count, &resolved.raw, 0);
            self.queue.submit([encoder.finish()]);
            ms.extend(
                self.read_timestamps(&resolved, count)?
                    .chunks(2)
                    .map(|t| t[1].saturating_sub(t[0]) as f64 * period_ns as f64 * 1e-6),
            );
        }
        Ok(ms)
    }

    fn read_timestamps(&self, buffer: &Buffer, count: u32) -> Result<Vec<u64>> {
        let bytes = self.read(buffer, 8 * count as u64)?;
        Ok(bytes.chunks_exact(8).map(bytemuck::pod_read_unaligned).collect())
    }
}
