// What the checks of files share: a signed-in client, a key of the test's own, bytes that differ everywhere.

import { createClient } from '@supabase/supabase-js'
import { cloud, good } from './check.mjs'

/// A client that speaks for `person`.
export async function signIn({ email, password }) {
  const auth = { autoRefreshToken: false, persistSession: false, detectSessionInUrl: false }
  const supabase = createClient(cloud.url, cloud.key, { auth })
  const { session } = good(await supabase.auth.signInWithPassword({ email, password }))
  return { supabase, token: session.access_token }
}

/// The key of a file in the demo workspace.
export const key = (name) => `${cloud.demo.workspace_id}/${name}`

/// `length` bytes without a short period, so that a part in the wrong place shows.
export const bytes = (length) => Buffer.from({ length }, (_, n) => Math.imul(n, 2_654_435_761) >>> 24)
