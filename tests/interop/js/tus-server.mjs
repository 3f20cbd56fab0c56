// @tus/server, the library that Supabase Storage takes resumable uploads with, on files in a folder.
//
// Arguments: folder, port (0 takes any), largest upload in bytes. Prints its port when it is ready; ends with its input.

import { FileStore } from '@tus/file-store'
import { Server } from '@tus/server'

const [directory, port, maxSize] = process.argv.slice(2)
const server = new Server({
  path: '/storage/v1/upload/resumable',
  datastore: new FileStore({ directory }),
  maxSize: Number(maxSize),
})
const listening = server.listen({ host: '127.0.0.1', port: Number(port) }, () =>
  console.log(listening.address().port),
)
process.stdin.resume().on('end', () => process.exit())
