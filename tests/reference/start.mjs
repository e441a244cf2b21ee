// The reference PDS, configured by its own environment variables, on the loopback address alone.
//
// One line of JSON says when it is ready, as the PLC server's does, and one tells of each mail that it would send, with
// the token that is in it. It ends with SIGTERM.
import { PDS, envToCfg, envToSecrets, readEnv } from '@atproto/pds'

const env = readEnv()
const pds = await PDS.create(envToCfg(env), envToSecrets(env))
// PDS.start() would listen on every address of the machine.
const { app } = pds
const listen = app.listen.bind(app)
app.listen = (port) =>
  listen(port, '127.0.0.1').on('error', (error) => {
    console.error(`cannot listen on 127.0.0.1:${port}: ${error.message}`)
    process.exit(1)
  })
const { mailer } = pds.ctx
const send = mailer.sendTemplate.bind(mailer)
mailer.sendTemplate = async (template, params, options) => {
  const sent = await send(template, params, options)
  console.log(JSON.stringify({ event: 'mail', template, to: options.to, token: params.token }))
  return sent
}
process.on('SIGTERM', async () => {
  await pds.destroy()
  process.exit(0)
})
const server = await pds.start()
console.log(JSON.stringify({ event: 'listen', port: server.address().port }))
