// Sets a cookie. Without a value, the cookie holds the address of the page.

/** @param {{ data: { name: string, value: string | null, seconds: number } }} streamlit */
export default function setCookie({ data: { name, value, seconds } }) {
  const text = value ?? location.pathname + location.search;
  document.cookie = `${name}=${encodeURIComponent(text)}; path=/; max-age=${seconds}; samesite=strict`;
}
