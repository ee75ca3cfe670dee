"""What is hard to read on a page, found by a script in it."""

from __future__ import annotations

__all__ = ["FAINT"]

FAINT = """
    const light = (color) => color.map((part) => part / 255).map((part) =>
      part <= 0.03928 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4).reduce((sum, part, place) =>
      sum + part * [0.2126, 0.7152, 0.0722][place], 0);
    const parts = (text) => text.match(/[\\d.]+/g).map(Number);
    const behind = (one) => {
      for (; one; one = one.parentElement) {
        const color = parts(getComputedStyle(one).backgroundColor);
        if (color.length === 3 || color[3] > 0) return color.slice(0, 3);
      }
      return [255, 255, 255];
    };
    const faint = [];
    for (const one of document.querySelectorAll('body *')) {
      const text = [...one.childNodes].some((node) => node.nodeType === 3 && node.textContent.trim());
      if (!text || !one.offsetParent || one.disabled || one.closest(':disabled')) continue;
      const both = [light(parts(getComputedStyle(one).color).slice(0, 3)), light(behind(one))].sort((a, b) => b - a);
      if ((both[0] + 0.05) / (both[1] + 0.05) < 4.5) faint.push(one.outerHTML);
    }
    return faint;
"""
"""The texts that differ too little from what is behind them (WCAG 2.1, level AA)."""
