// The same as beside it, where new addresses are confirmed by mail.

process.env.CLOUD_CONFIRMS = '1'
await import('./supabase-sign-in.mjs')
