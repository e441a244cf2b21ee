const status = document.querySelector('[role=status]');

for (const form of document.forms) {
  form.addEventListener('submit', async (event) => {
    event.preventDefault();
    status.textContent = 'One moment.';
    try {
      const answer = await fetch(`/xrpc/com.atproto.server.${form.dataset.method}`, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify(Object.fromEntries(new FormData(form))),
      });
      status.textContent = answer.ok ? form.dataset.done : (await answer.json()).message;
      if (answer.ok) form.reset();
    } catch {
      status.textContent = 'The server cannot be reached.';
    }
  });
}
