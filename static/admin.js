// Comfort for the admin pages; every page works without it.
// What it does is asked for by attributes:
//   data-copy="ID"        a button that copies the text of that element
//   data-confirm="…"      a form or button that asks once before it is sent
//   data-live="SECONDS"   an element whose children with an id are refreshed from the same page
//   data-order            a list whose items may be dragged; its hidden inputs follow their items
//   data-submit           a field whose change sends its form
//   data-drop             a form onto which a file may be dropped
document.documentElement.classList.add('js');

document.addEventListener('click', async (event) => {
  const button = event.target.closest('[data-copy]');
  if (!button) return;
  const text = document.getElementById(button.dataset.copy).textContent.trim();
  const label = button.textContent;
  try {
    await navigator.clipboard.writeText(text);
    button.textContent = 'Copied';
  } catch {
    getSelection().selectAllChildren(document.getElementById(button.dataset.copy));
    button.textContent = 'Selected: press Ctrl+C';
  }
  setTimeout(() => (button.textContent = label), 2000);
});

document.addEventListener('submit', (event) => {
  const text = event.submitter?.dataset.confirm ?? event.target.dataset.confirm;
  if (text && !confirm(text)) event.preventDefault();
});

document.addEventListener('change', (event) => {
  if (event.target.matches('[data-submit]')) event.target.form.requestSubmit();
});

// Figures that move are fetched again from the very page; nothing is refreshed while it is looked
// at elsewhere, or while somebody types.
for (const part of document.querySelectorAll('[data-live]:not([data-live=""])')) {
  setInterval(async () => {
    if (document.hidden || part.contains(document.activeElement)) return;
    const answer = await fetch(location.href, { headers: { 'X-Live': '1' }, redirect: 'manual' }).catch(() => null);
    if (!answer?.ok) return;
    const fresh = new DOMParser().parseFromString(await answer.text(), 'text/html');
    for (const element of part.querySelectorAll('[id]')) {
      const other = fresh.getElementById(element.id);
      if (other && other.innerHTML !== element.innerHTML) element.replaceChildren(...other.cloneNode(true).childNodes);
    }
  }, Number(part.dataset.live) * 1000);
}

for (const list of document.querySelectorAll('[data-order]')) {
  let dragged = null;
  for (const item of list.children) {
    item.draggable = true;
    item.addEventListener('dragstart', () => (dragged = item));
    item.addEventListener('dragend', () => (dragged = null));
    item.addEventListener('dragover', (event) => {
      if (!dragged || dragged === item) return;
      event.preventDefault();
      const below = event.offsetY > item.offsetHeight / 2;
      list.insertBefore(dragged, below ? item.nextSibling : item);
    });
  }
}

for (const form of document.querySelectorAll('[data-drop]')) {
  const input = form.querySelector('input[type=file]');
  form.addEventListener('dragover', (event) => event.preventDefault());
  form.addEventListener('drop', (event) => {
    event.preventDefault();
    if (!event.dataTransfer.files.length) return;
    input.files = event.dataTransfer.files;
    form.requestSubmit();
  });
}

// On a narrow screen the navigation scrolls: show where we are.
document.querySelector('nav [aria-current]')?.scrollIntoView({ block: 'nearest', inline: 'center' });
