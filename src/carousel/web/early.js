/**
 * What must be known before the first paint: the colours and what is hidden (`?theme=`, `?hide=`,
 * for slides), and whether the address asks for something else than the picture that stands in
 * `index.html`. No module: a module runs only after the page has been painted.
 */
{
  const address = new URLSearchParams(location.search);
  const dark = matchMedia('(prefers-color-scheme: dark)');
  const asked = address.get('theme');
  const root = document.documentElement;
  root.dataset.theme = asked === 'light' || asked === 'dark' ? asked : dark.matches ? 'dark' : 'light';
  if (!asked) dark.addEventListener('change', () => { root.dataset.theme = dark.matches ? 'dark' : 'light'; });
  for (const part of (address.get('hide') ?? '').split(',')) {
    if (/^[a-z]+$/.test(part)) root.classList.add(`hide-${part}`);
  }
  if (location.hash.length > 1) root.classList.add('linked');
}
