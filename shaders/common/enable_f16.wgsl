// Half floats as a type: the first piece of a kernel for adapters with shader-f16.

enable f16;
