// Folds the sidebar of a narrow screen after a click on one of its links, as Streamlit does with its own links.

export default function foldSidebar() {
  const sidebar = document.querySelector("[data-testid=stSidebar]");
  if (!(sidebar instanceof HTMLElement)) return;
  sidebar.onclick = (event) => {
    const isLink = event.target instanceof Element && event.target.closest("a");
    if (!isLink || !matchMedia("(max-width: 768px)").matches) return;
    const button = sidebar.querySelector("[data-testid=stSidebarCollapseButton] button");
    if (button instanceof HTMLElement) button.click();
  };
}
