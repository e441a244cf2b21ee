// Where this server answers otherwise than the reference and means to: by request, the field
// (`status`, `error`, `message`, `headers.x`, `body.x`) with this server's value (`<any>`: not
// compared), and why. Everything else must be as recorded.

export const deviations = {}
