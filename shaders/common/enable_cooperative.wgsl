// Cooperative matrices as types: a first piece of a kernel for adapters that have them, where they were asked for.

enable wgpu_cooperative_matrix;
