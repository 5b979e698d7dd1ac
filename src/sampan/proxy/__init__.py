"""Services to kernel: plan (pure), a backend per data plane, health."""
